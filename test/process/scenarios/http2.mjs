// HTTP/2, over TLS with TLS=1: /slow answers after `ms`, /events is an event stream; anything else answers at once.
import http2 from 'node:http2'
import { makeKey } from './key.mjs'

const onRequest = (request, response) => {
  const url = new URL(request.url, 'http://localhost')
  if (url.pathname === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: tick\n\n')
    setInterval(() => response.write('data: tick\n\n'), 20).unref()
    return
  }
  setTimeout(() => response.end(`hello from ${process.pid}`), Number(url.searchParams.get('ms') ?? 0))
}
const server = process.env.TLS ? http2.createSecureServer({ ...makeKey(), allowHTTP1: true }, onRequest) : http2.createServer(onRequest)
server.listen(3000)
if (process.env.OWN_HANDLER) {
  const sockets = new Set()
  server.on('secureConnection', (socket) => sockets.add(socket))
  process.on('SIGTERM', () => sockets.forEach((socket) => socket.destroy()))
}
