// No HTTP at all; it ends its connections itself when it is told to.
import net from 'node:net'

const sockets = new Set()
net
  .createServer((socket) => {
    sockets.add(socket)
    socket.on('data', (data) => socket.write(data)).on('close', () => sockets.delete(socket))
  })
  .listen(3000)
if (process.env.OWN_HANDLER) {
  process.on('SIGTERM', () => {
    for (const socket of sockets) socket.end('bye')
  })
}
