// @ts-check
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { WebSocketServer } from 'ws'
import { makeTarget } from './target.js'

/**
 * The target on every protocol that the traffic speaks: `http` with WebSockets, `https`, and HTTP/2 in cleartext (`h2c`) and
 * over TLS (`h2`). None of them listens yet. Each message of a WebSocket comes back as `{"release", "generation", "echo"}`.
 *
 * @param {Parameters<typeof makeTarget>[0] & { pem: string | Buffer }} options pem: a key and its certificate
 */
export function makeTargetServers({ pem, ...options }) {
  const { release, generation = '1' } = options
  const target = makeTarget(options)
  /** HTTP/2 by node's compatibility layer: the same handler. */
  const target2 = /** @type {any} */ (target)
  const tls = { key: pem, cert: pem }
  const servers = {
    http: http.createServer(target),
    https: https.createServer(tls, target),
    h2c: http2.createServer(target2),
    h2: http2.createSecureServer(tls, target2),
  }
  new WebSocketServer({ server: servers.http }).on('connection', (socket) => {
    socket.on('message', (data) => socket.send(JSON.stringify({ release, generation, echo: String(data) })))
  })
  return servers
}
