// Socket.IO: an acknowledged echo, and io.close() on SIGTERM as its documentation has it.
import http from 'node:http'
import { Server } from 'socket.io'

const server = http.createServer((request, response) => response.end(`hello from ${process.pid}\n`))
// A long poll lasts at most so long, and a drain waits for it.
const io = new Server(server, { pingInterval: 5000 })

io.on('connection', (socket) => {
  socket.emit('hello', process.pid)
  // A little work: at any time some acknowledgements are on their way.
  socket.on('echo', (text, acknowledge) => setTimeout(() => acknowledge(text, process.pid), 50))
})

server.listen(process.env.PORT ?? 3000)

process.on('SIGTERM', async () => {
  console.log('SIGTERM: closing')
  await io.close()
  console.log('Socket.IO closed')
  process.exit(0)
})
