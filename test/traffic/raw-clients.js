// @ts-check
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { verifyDigest } from './checksum.js'
import { classifyFailure, RequestFailure } from './failure.js'
import { formatGet, PipelinedConnection } from './pipeline.js'

/** Milliseconds before the end of a promise that a client no longer counts on it: its request has to arrive in time. */
const marginMs = 300

/**
 * Asks, lets the connection lie idle for any time up to what the answer promised (`Keep-Alive: timeout=`), and asks again on it.
 *
 * @param {import('./address.js').Target} target
 * @param {import('./clients.js').Paths} paths
 * @returns {import('./clients.js').Client}
 */
export function makeIdler(target, paths) {
  /** @type {PipelinedConnection | undefined} */
  let connection
  return {
    turn: (measure) =>
      measure(async (signal, sighting) => {
        if (!connection || connection.closing) connection = new PipelinedConnection(target)
        const current = connection
        signal.addEventListener('abort', () => current.destroy())
        await ask(current, sighting, [formatGet(paths.get[0] ?? '/')])
        if (current.closing) return
        const idleMs = Math.random() * Math.max(0, current.promisedMs - marginMs)
        const isGone = await Promise.race([current.gone.then(() => true), delay(idleMs, false, { signal, ref: false }).catch(() => false)])
        if (isGone) throw new RequestFailure('early-close', `it had promised to keep the connection for ${current.promisedMs} ms`)
      }),
    close: () => connection?.destroy(),
  }
}

/** @typedef {(target: import('./address.js').Target, paths: import('./clients.js').Paths, signal: AbortSignal, sighting: import('./exchange.js').Sighting) => Promise<void>} Manner */

/**
 * How a badly behaving client behaves. The first three make up for it: they must be answered. The last three leave nothing that
 * could be lost, so that all the server owes them is to be there.
 *
 * @type {Record<string, Manner>}
 */
const manners = {
  halfSent: (target, paths, signal, sighting) => {
    const request = formatGet(paths.get[0] ?? '/')
    return withConnection(target, signal, (connection) => ask(connection, sighting, [request.slice(0, 20), request.slice(20)], 300 + Math.random() * 1_200))
  },
  byteByByte: (target, paths, signal, sighting) =>
    withConnection(target, signal, (connection) => ask(connection, sighting, formatGet(paths.get[0] ?? '/').split(''), 15)),
  silent: (target, paths, signal, sighting) =>
    withConnection(target, signal, async (connection) => {
      const isGone = await Promise.race([connection.gone.then((error) => error ?? true), delay(Math.random() * 2_000, false, { signal, ref: false }).catch(() => false)])
      if (isGone instanceof Error) throw classifyFailure(isGone, 'answer')
      if (isGone) throw new RequestFailure('early-close', 'a new connection was closed before it could ask')
      await ask(connection, sighting, [formatGet(paths.get[0] ?? '/')])
    }),
  silentToTheEnd: (target, _, signal) => misbehave(target, signal, () => {}),
  leavesEarly: (target, paths, signal) =>
    misbehave(target, signal, (socket) => socket.write(`POST ${paths.post} HTTP/1.1\r\nHost: rude\r\nContent-Length: 1000\r\n\r\nhalf of `)),
  neverReads: (target, paths, signal) => misbehave(target, signal, (socket) => socket.pause().write(formatGet(paths.download).repeat(3))),
}

/**
 * A new connection in each turn, treated badly in one of the manners.
 *
 * @param {import('./address.js').Target} target
 * @param {import('./clients.js').Paths} paths
 * @returns {import('./clients.js').Client}
 */
export function makeRude(target, paths) {
  const all = Object.entries(manners)
  let turns = Math.floor(Math.random() * all.length)
  return {
    turn: (measure) =>
      measure(async (signal, sighting) => {
        const [name, behave] = /** @type {[string, Manner]} */ (all[turns++ % all.length])
        try {
          await behave(target, paths, signal, sighting)
        } catch (error) {
          if (!(error instanceof RequestFailure)) throw error
          throw new RequestFailure(error.kind, [name, error.detail].filter((part) => part !== '').join(': '))
        }
      }),
    close: () => {},
  }
}

/**
 * @param {PipelinedConnection} connection
 * @param {import('./exchange.js').Sighting} sighting
 * @param {string[]} pieces of one request
 * @param {number} [pauseMs] between them
 */
async function ask(connection, sighting, pieces, pauseMs = 0) {
  const answer = connection.expect(sighting)
  answer.catch(() => {}) // looked at below, once all is sent
  for (const [index, piece] of pieces.entries()) {
    if (index > 0 && !(await Promise.race([answer.then(() => false, () => false), delay(pauseMs, true)]))) break
    connection.write(piece)
  }
  const { digest, body } = await answer
  verifyDigest(digest, body, { required: false })
}

/**
 * @param {import('./address.js').Target} target
 * @param {AbortSignal} signal
 * @param {(connection: PipelinedConnection) => Promise<void>} use
 */
async function withConnection(target, signal, use) {
  const connection = new PipelinedConnection(target)
  signal.addEventListener('abort', () => connection.destroy())
  try {
    await use(connection)
  } finally {
    connection.destroy()
  }
}

/**
 * Connects (which must succeed), does its mischief for a while and leaves. What the server makes of that is its own affair.
 *
 * @param {import('./address.js').Target} target
 * @param {AbortSignal} signal
 * @param {(socket: net.Socket) => void} begin
 */
async function misbehave(target, signal, begin) {
  const socket = 'socketPath' in target ? net.connect(target.socketPath) : net.connect(target.port, target.host)
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject)).catch((error) => {
    throw classifyFailure(error, 'answer')
  })
  socket.on('error', () => {})
  begin(socket)
  await delay(Math.random() * 1_000, undefined, { signal }).catch(() => {})
  socket.destroy()
}
