// No HTTP at all.
import net from 'node:net'

net.createServer((socket) => socket.pipe(socket)).listen(3000)
