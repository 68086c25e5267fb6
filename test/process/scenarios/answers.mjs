// Answers of all kinds: /fail 503, /cut half of one, /events an event stream of two events that takes `ms`; anything else after
// `ms`. Over HTTP/2 with HTTP2=1 and its streams alone, over TLS with TLS=1. A second server, on SECOND, is nobody's business.
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { makeKey } from './key.mjs'

async function answer(url, { head, write, end, cut }) {
  const { pathname, searchParams } = new URL(url, 'http://localhost')
  const ms = Number(searchParams.get('ms') ?? 0)
  if (pathname === '/cut') {
    head(200, { 'content-type': 'text/plain' })
    write('half')
    return void setTimeout(cut, 20)
  }
  if (pathname === '/events') {
    head(200, { 'content-type': 'text/event-stream' })
    write('data: 1\n\n')
    await delay(ms)
    return end('data: 2\n\n')
  }
  await delay(ms)
  head(pathname === '/fail' ? 503 : 200, {})
  end(`${pathname} from ${process.pid}`)
}

const onRequest = (request, response) => {
  void answer(request.url, {
    head: (status, headers) => response.writeHead(status, headers),
    write: (text) => response.write(text), end: (text) => response.end(text), cut: () => response.destroy(),
  })
}
const server = process.env.HTTP2 ? http2.createServer() : process.env.TLS ? https.createServer(makeKey(), onRequest) : http.createServer(onRequest)
if (process.env.HTTP2) {
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    void answer(headers[':path'], {
      head: (status, more) => stream.destroyed || stream.respond({ ':status': status, ...more }),
      write: (text) => stream.write(text), end: (text) => stream.end(text), cut: () => stream.destroy(new Error('cut')),
    })
  })
}
server.on('upgrade', (_, socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n'))
server.listen(3000)
if (process.env.SECOND) http.createServer((_, response) => response.end('second')).listen(0, '127.0.0.1', function () {
  console.log(`app: second ${this.address().port}`)
})
