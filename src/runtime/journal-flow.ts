import { readFileSync } from 'node:fs'
import net from 'node:net'

/** One entry on its way to the journal, with the app's fields under their final names. */
export interface Entry {
  /** 0 to 7, as in syslog(3). */
  priority: number
  message: string
  fields: Record<string, string>
}

/** Where journald takes streams (systemd-cat(1)); every sandbox that reaches the journal reaches it too. */
const streamSocket = '/run/systemd/journal/stdout'
/** Part of the socket's queue that one process fills before it hears that journald reads: the queue is the whole machine's. */
const queuePart = 4
/** And of the memory that the kernel gives one socket, in characters: net.core.wmem_max is 208 KiB. */
const maxSentSize = 64 * 1024
/** What the kernel gives where nobody raised it, see unix(7). */
const kernelQueueLength = 10
/** Journald is asked this often at most while little is logged, in milliseconds. */
const askIntervalMs = 250
/** Without an answer for so long, journald stands still. */
const patienceMs = 1000
/** Of all entries that wait, in characters with what an entry costs itself. Further ones are dropped, and counted. */
const maxWaitingSize = 8 * 1024 * 1024
const entrySize = 200
/** There is no journald to ask, or this process may not. */
const nobodyThere = new Set(['ENOENT', 'ECONNREFUSED', 'EACCES', 'EPERM'])

interface Amount {
  count: number
  size: number
}

type Connect = (this: net.Socket, options: { path: string }) => net.Socket
/** As it is before anything traces connections: these are not the app's. */
const connect = net.Socket.prototype.connect as Connect

/**
 * Keeps a log call from waiting for ever: sd_journal_sendv(3) blocks, and with it the event loop, when the queue of journald's socket
 * is full because journald hangs. Nothing tells a node process how full that is. But journald closes a stream connection that
 * brings nothing, and it does so after all entries that came before. So after some entries a connection is opened and ended, and
 * until it is closed only a part of the queue is filled; further entries wait in memory, and go out in their order.
 */
export class JournalFlow {
  readonly #write: (entry: Entry) => void
  readonly #socketPath: string
  readonly #limit: number
  #waiting: Entry[] = []
  #waitingSize = 0
  /** What journald is not known to have read. */
  readonly #sent: Amount = { count: 0, size: 0 }
  #dropped = 0
  #isAsking = false
  #patience: NodeJS.Timeout | undefined
  #standsStill = false
  #answeredAt = -Infinity
  #isBlind = false

  /**
   * @param write sends one entry; may block while journald's queue is full
   * @param options.limit entries sent without an answer; by default a quarter of net.unix.max_dgram_qlen
   */
  constructor(write: (entry: Entry) => void, options: { socketPath?: string; limit?: number } = {}) {
    this.#write = write
    this.#socketPath = options.socketPath ?? streamSocket
    this.#limit = options.limit ?? Math.max(1, Math.floor(readQueueLength() / queuePart))
  }

  /** At once where journald reads, which is nearly always. */
  send(entry: Entry): void {
    if (this.#waiting.length === 0 && this.#flows()) this.#pass(entry)
    else this.#keep(entry)
    this.#ask()
  }

  /**
   * For the end of the process: what waits goes out now.
   * @returns what cannot, because journald stands still
   */
  end(): Entry[] {
    this.#admitDropped()
    const waiting = this.#waiting.splice(0)
    if (this.#standsStill) return waiting
    for (const entry of waiting) this.#write(entry)
    return []
  }

  /**
   * Settles when journald has read what was sent so far, or after a second. It looks up the unit of an entry's process when it
   * reads it, in vain if that has ended: an entry just before the end would be missing in `journalctl -u`.
   */
  async read(): Promise<void> {
    if (this.#isBlind || this.#standsStill) return
    await new Promise<void>((resolve) => {
      const socket = this.#touch(() => resolve())
      setTimeout(() => socket.destroy(), patienceMs).unref()
    })
  }

  #flows(): boolean {
    const { count, size } = this.#sent
    return this.#isBlind || (count < this.#limit && size < maxSentSize && !this.#standsStill)
  }

  #pass(entry: Entry): void {
    this.#sent.count++
    this.#sent.size += sizeOf(entry)
    this.#write(entry)
  }

  #keep(entry: Entry): void {
    const size = sizeOf(entry)
    if (this.#dropped > 0 || this.#waitingSize + size > maxWaitingSize) {
      this.#dropped++
      return
    }
    this.#waiting.push(entry)
    this.#waitingSize += size
  }

  /** Says in its place that something is missing. */
  #admitDropped(): void {
    if (this.#dropped === 0) return
    const message = `${this.#dropped} log entries are missing here: journald did not read for too long`
    const notice: Entry = { priority: 4, message, fields: { DROPPED_ENTRIES: String(this.#dropped) } }
    this.#waiting.push(notice)
    this.#waitingSize += sizeOf(notice)
    this.#dropped = 0
  }

  #ask(): void {
    if (this.#isBlind || this.#isAsking) return
    const { count, size } = this.#sent
    const isHalfFull = count * 2 >= this.#limit || size * 2 >= maxSentSize
    if (!isHalfFull && performance.now() - this.#answeredAt < askIntervalMs) return
    this.#isAsking = true
    // A timer, since a blocked event loop, which hears no answer, does not run it either: what is logged in there goes out.
    this.#patience = setTimeout(() => (this.#standsStill = true), patienceMs).unref()
    this.#connect({ count, size })
  }

  #connect(asked: Amount): void {
    this.#touch((code) => this.#hear(asked, code)).unref()
  }

  /** Opens and ends a connection; journald closes it when it has read all that came before. */
  #touch(onClose: (code: string | undefined) => void): net.Socket {
    const socket = new net.Socket()
    let code: string | undefined
    socket.on('error', (error: NodeJS.ErrnoException) => (code = error.code))
    socket.on('close', () => onClose(code))
    connect.call(socket, { path: this.#socketPath })
    return socket.resume().end()
  }

  #hear(asked: Amount, code: string | undefined): void {
    // So many wait to be accepted that there is no room for one more: the same as no answer yet.
    if (code === 'EAGAIN') return void setTimeout(() => this.#connect(asked), patienceMs).unref()
    this.#isBlind ||= code !== undefined && nobodyThere.has(code)
    clearTimeout(this.#patience)
    this.#standsStill = false
    this.#isAsking = false
    this.#answeredAt = performance.now()
    this.#sent.count -= asked.count
    this.#sent.size -= asked.size
    this.#admitDropped()
    let passed = 0
    for (const entry of this.#waiting) {
      if (!this.#flows()) break
      this.#pass(entry)
      this.#waitingSize -= sizeOf(entry)
      passed++
    }
    this.#waiting.splice(0, passed)
    if (this.#waiting.length > 0) this.#ask()
  }
}

function sizeOf({ message, fields }: Entry): number {
  let size = entrySize + message.length
  for (const name of Object.keys(fields)) size += name.length + (fields[name]?.length ?? 0)
  return size
}

function readQueueLength(): number {
  try {
    return Number(readFileSync('/proc/sys/net/unix/max_dgram_qlen', 'utf8')) || kernelQueueLength
  } catch {
    return kernelQueueLength
  }
}
