// An unmodified app: one http server on PORT; /slow answers after `ms`, /stream sends a line every 50 ms, /block stops everything.
import http from 'node:http'

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost')
  const ms = Number(url.searchParams.get('ms') ?? 0)
  if (url.pathname === '/now') return void response.end(`now from ${process.pid}`)
  if (url.pathname === '/block') {
    for (const end = Date.now() + ms; Date.now() < end; );
    return void response.end('blocked')
  }
  if (url.pathname === '/stream') {
    let left = ms / 50
    const timer = setInterval(() => {
      response.write('line\n')
      if (--left > 0) return
      clearInterval(timer)
      response.end('end\n')
    }, 50)
    return
  }
  request.resume().on('end', () => setTimeout(() => response.end(`hello from ${process.pid}`), ms))
})
server.on('upgrade', (_, socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n'))
if (process.env.KEEP_ALIVE_MS) server.keepAliveTimeout = Number(process.env.KEEP_ALIVE_MS)
const port = process.env.PORT ?? 3000
server.listen(port.startsWith?.('/') ? port : Number(port), () => {
  console.log(`listening ${JSON.stringify(server.address())}`)
})
