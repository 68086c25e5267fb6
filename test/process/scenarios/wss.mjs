// WebSockets over TLS, with the package ws.
import https from 'node:https'
import { WebSocketServer } from 'ws'
import { makeKey } from './key.mjs'

const server = https.createServer(makeKey(), (_, response) => response.end('hello'))
new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${data}`)))
server.listen(3000)
