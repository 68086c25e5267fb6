import { createHash } from 'node:crypto'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { OriginalListen } from './bind.js'
import type { Instance } from './instance.js'

/** Bytes of sun_path in unix(7), the NUL that makes the name an abstract one included. */
const addressLength = 108
/** Names that can be read in `ss -xl`; others go by their hash. */
const plainName = /^[\w.:@-]{1,40}$/
/** A waiter that knows of a newer one leaves it this much time, in milliseconds, before it tries, too. */
const precedenceMs = 250
/** Milliseconds after which a failed attempt is repeated: doubled each time, up to the longest. */
const shortestPauseMs = 4
const longestPauseMs = 512
/** So many attempts in a row without a word of the holder are no accident. */
const suspiciousAttempts = 6
/** Milliseconds after which a holder that has said nothing is talked of. */
const greetingMs = 2000
const longestLine = 200
/** Any local process may connect; it shall not use up this one's descriptors. */
const maxWaiters = 500

/** What a waiter learns, for its log. */
export interface WaitingListener {
  /** The name is held by this instance, such as `41.1`. */
  onHolder(name: string): void
  /** The name is taken by something that does not answer as an instance does. */
  onSilence(): void
}

/** A name that one process holds. */
export interface HeldName {
  release(): void
}

/**
 * The address of a lock: an abstract unix socket, which is gone with its process, whatever ended that. One network namespace
 * has one such name, so instances with a PrivateNetwork= of their own do not see each other's.
 * @param scope what has one lock of that name: a path, of the app
 */
export function lockAddress(scope: string, name: string): string {
  const word = plainName.test(name) ? name : `sha256/${hash(name)}`
  const plain = `\0holdfast${scope}/${word}`
  const address = Buffer.byteLength(plain) > addressLength ? `\0holdfast/sha256/${hash(`${scope}/${word}`)}` : plain
  // node 20 fills it up with NULs, node 22 does not, and these are two names to the kernel: so it is always full.
  return address + '\0'.repeat(addressLength - Buffer.byteLength(address))
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 40)

/**
 * Waits until this process holds a name. Who does not get it connects to the holder, whose end, kill -9 included, ends the
 * connection: there is nothing to poll. Both say a line or two: the holder its name (`holds 41.1`), the waiters their
 * generations (`waits 42`), and the holder the newest of these (`newest 43`), which then goes first.
 * @returns undefined when `signal` was aborted before
 * @throws what listen(2) says, unless it is EADDRINUSE
 */
export async function holdName(
  address: string,
  self: Instance,
  options: { signal: AbortSignal; listen: OriginalListen; listener: WaitingListener },
): Promise<HeldName | undefined> {
  const { signal, listen, listener } = options
  let attempts = 0
  while (!signal.aborted) {
    const server = await bindName(address, listen)
    if (server) return new Holder(server, self)
    const { greeted, newest, lastedMs } = await new Promise<Meeting>((resolve) => new Waiter(address, self, signal, listener, resolve))
    // A holder that ends as soon as it has said hello is no holder.
    attempts = greeted && lastedMs > precedenceMs ? 0 : attempts + 1
    if (attempts === suspiciousAttempts) listener.onSilence()
    if (signal.aborted) break
    const pauseMs = attempts === 0 ? 0 : Math.min(shortestPauseMs * 2 ** attempts, longestPauseMs)
    await pause((newest > self.generation ? precedenceMs : 0) + pauseMs * (0.5 + Math.random() / 2), signal)
  }
  return undefined
}

function bindName(address: string, listen: OriginalListen): Promise<net.Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = new net.Server()
    server.on('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error)))
    server.once('listening', () => resolve(server))
    // `exclusive`: in a worker of node:cluster the primary would bind it otherwise, for all of them.
    listen.call(server, { path: address, exclusive: true })
  })
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {})
}

/** Has the name, and knows who waits for it. */
class Holder implements HeldName {
  readonly #server: net.Server
  /** With their generations. */
  readonly #waiters = new Map<net.Socket, number>()
  #newest = 0

  constructor(server: net.Server, self: Instance) {
    this.#server = server
    server.maxConnections = maxWaiters
    server.on('connection', (socket) => {
      this.#waiters.set(socket, 0)
      socket.on('error', () => {})
      socket.once('close', () => {
        this.#waiters.delete(socket)
        this.#tell()
      })
      readLines(socket, (word, value) => {
        if (word !== 'waits') return
        this.#waiters.set(socket, Number(value) || 0)
        socket.write(`newest ${this.#newest}\n`)
        this.#tell()
      })
      socket.write(`holds ${self.name}\n`)
    })
  }

  /** The name first: who hears of the end tries at once. */
  release(): void {
    this.#server.close()
    for (const socket of this.#waiters.keys()) socket.destroy()
  }

  #tell(): void {
    let newest = 0
    for (const generation of this.#waiters.values()) newest = Math.max(newest, generation)
    if (newest === this.#newest) return
    this.#newest = newest
    for (const socket of this.#waiters.keys()) socket.write(`newest ${newest}\n`)
  }
}

interface Meeting {
  greeted: boolean
  /** The newest generation that waited, as far as the holder said. */
  newest: number
  lastedMs: number
}

/** One connection to the holder, for as long as there is one. */
class Waiter {
  constructor(address: string, self: Instance, signal: AbortSignal, listener: WaitingListener, onEnd: (meeting: Meeting) => void) {
    const startedAt = performance.now()
    const meeting: Meeting = { greeted: false, newest: 0, lastedMs: 0 }
    const socket = net.connect({ path: address })
    const silence = setTimeout(() => listener.onSilence(), greetingMs).unref()
    const end = (): void => {
      clearTimeout(silence)
      signal.removeEventListener('abort', leave)
      onEnd({ ...meeting, lastedMs: performance.now() - startedAt })
    }
    // A drain may have nothing else to wait for: who leaves because of it knows at once.
    const leave = (): void => {
      end()
      socket.destroy()
    }
    signal.addEventListener('abort', leave, { once: true })
    socket.on('error', () => {})
    socket.once('close', end)
    readLines(socket, (word, value) => {
      if (word === 'newest') meeting.newest = Number(value) || 0
      if (word !== 'holds' || meeting.greeted) return
      meeting.greeted = true
      clearTimeout(silence)
      listener.onHolder(value)
    })
    socket.write(`waits ${self.generation}\n`)
  }
}

/** Reads lines of two words. What is none, or is too long, ends the connection: it is not one of ours. */
function readLines(socket: net.Socket, onLine: (word: string, value: string) => void): void {
  let rest = ''
  socket.setEncoding('latin1').on('data', (piece: string) => {
    const lines = (rest + piece).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const [, word, value] = /^([a-z]+) ([\w.-]{1,60})$/.exec(line) ?? []
      if (word === undefined || value === undefined) return void socket.destroy()
      onLine(word, value)
    }
    if (rest.length > longestLine) socket.destroy()
  })
}
