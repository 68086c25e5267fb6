// ws: echoes, says goodbye to its clients on SIGTERM, and cuts those that do not answer that.
import http from 'node:http'
import { WebSocketServer } from 'ws'

const server = http.createServer((request, response) => response.end(`hello from ${process.pid}\n`))
const sockets = new WebSocketServer({ server })

sockets.on('connection', (socket) => {
  socket.send(JSON.stringify({ hello: process.pid }))
  // A little work: at any time some echoes are on their way.
  socket.on('message', (data) => setTimeout(() => socket.send(JSON.stringify({ echo: String(data), from: process.pid })), 50))
  socket.on('error', console.error)
})

server.listen(process.env.PORT ?? 3000)

process.on('SIGTERM', () => {
  console.log('SIGTERM: closing')
  for (const socket of sockets.clients) socket.close(1012, 'restarting')
  sockets.close(() => console.log('WebSocket server closed'))
  server.close(() => {
    console.log('server closed')
    process.exit(0)
  })
  setTimeout(() => {
    for (const socket of sockets.clients) socket.terminate()
  }, 500).unref()
})
