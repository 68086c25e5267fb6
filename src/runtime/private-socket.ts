import { fstatSync } from 'node:fs'
import net from 'node:net'
import { handOver, type HandledServer } from './accept-handle.js'
import type { OriginalListen } from './bind.js'
import { maxBacklog } from './inherited.js'
import { markPrivate } from './private-connections.js'

/** A connection as libuv has accepted it. */
interface AcceptedHandle {
  fd: number
  close(): void
}

/**
 * The socket that reaches this one instance, held back or not. Its connections go to the app's own server in the very way in which
 * those of the server's own socket do, so that TLS, HTTP/2, upgrades and the workers of node:cluster need nothing of their own.
 */
export class PrivateSocket {
  readonly #fd: number
  readonly #listen: OriginalListen
  readonly #onAccepted: (inode: number) => void
  #own: net.Server | undefined
  #server: net.Server | undefined
  #isClosed = false

  /** @param options.onAccepted called before a connection is handed over, with its inode, which no two sockets share */
  constructor(options: { fd: number; listen: OriginalListen; onAccepted: (inode: number) => void }) {
    this.#fd = options.fd
    this.#listen = options.listen
    this.#onAccepted = options.onAccepted
  }

  /** Whose connections these are from now on. Before the first, they wait unaccepted; while it is closed they are closed, too. */
  serve(server: net.Server): void {
    this.#server = server
    if (this.#own || this.#isClosed) return
    this.#own = net.createServer().on('error', () => {})
    this.#listen.call(this.#own, { fd: this.#fd }, maxBacklog)
    this.#own.unref()
    const { _handle: handle } = this.#own as HandledServer
    if (handle) handle.onconnection = (status, accepted) => this.#take(Number(status), accepted as AcceptedHandle | undefined)
  }

  close(): void {
    this.#isClosed = true
    this.#own?.close()
  }

  #take(status: number, accepted: AcceptedHandle | undefined): void {
    if (status !== 0 || !accepted) return
    markPrivate(accepted)
    try {
      this.#onAccepted(fstatSync(accepted.fd).ino)
    } catch {
      // It is counted as if it had come in public.
    }
    if (!this.#server || !handOver(this.#server, [status, accepted])) accepted.close()
  }
}
