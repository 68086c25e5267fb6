// A TLS server with a throw-away key.
import https from 'node:https'
import { makeKey } from './key.mjs'

https.createServer(makeKey(), (_, response) => response.end('hello')).listen(3000)
