// Connections that do not end by themselves: /events is an event stream, an upgrade is a WebSocket without a library, CONNECT
// opens a tunnel, /poll waits for ever.
import http from 'node:http'

const server = http.createServer((request, response) => {
  if (request.url === '/poll') return
  if (request.url !== '/events') return void response.end('hello')
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' })
  // An app that does not look whether anybody still listens.
  let id = 0
  setInterval(() => response.write(`id: ${++id}\ndata: tick\n\n`), 20).unref()
})
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
  const ticks = setInterval(() => socket.write(Buffer.from([0x81, 0x01, 0x61])), 20)
  socket.on('data', (frame) => {
    if ((frame[0] & 0x0f) !== 0x08) return
    // Answers a close with a close, as every library does: here the second one.
    socket.end(Buffer.from([0x88, 0x00]))
  })
  socket.on('close', () => clearInterval(ticks)).on('error', () => {})
})
server.on('connect', (request, socket) => {
  socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
  socket.on('data', (data) => socket.write(data)).on('end', () => socket.end())
})
server.listen(3000)
