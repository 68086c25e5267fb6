// As http-terminator, stoppable and the like do it: cut what is open, answer 503, and exit soon.
import http from 'node:http'

const sockets = new Set()
let isClosing = false
const server = http.createServer((request, response) => {
  if (isClosing) return void response.writeHead(503).end()
  const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms') ?? 0)
  setTimeout(() => response.end('hello'), ms)
})
server.on('connection', (socket) => {
  sockets.add(socket)
  socket.on('close', () => sockets.delete(socket))
})
server.listen(3000)
process.on('SIGTERM', () => {
  isClosing = true
  console.log(`app: destroyed ${sockets.size}`)
  for (const socket of sockets) socket.destroy()
  server.close(() => process.exit(0))
})
