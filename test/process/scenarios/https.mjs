// A TLS server with a throw-away key.
import https from 'node:https'
import { makeKey } from './key.mjs'

const server = https.createServer(makeKey(), (_, response) => response.end('hello'))
if (process.env.KEEP_ALIVE_MS) server.keepAliveTimeout = Number(process.env.KEEP_ALIVE_MS)
server.listen(3000)
