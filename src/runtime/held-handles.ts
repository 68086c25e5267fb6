import type net from 'node:net'
import { getSystemErrorName } from 'node:util'
import { handleOf, type Handle, type HandledServer } from './accept-handle.js'

interface HeldHandle {
  /** Whose it is now: node:cluster lets another server listen with it. */
  server: net.Server
  backlog: number
}

/**
 * Handles of servers that listen, as far as anybody can see, but for which libuv does not accept yet. The socket itself has listened
 * since systemd made it: what is kept back is only that libuv watches it.
 */
export class HeldHandles {
  readonly #held = new Map<Handle, HeldHandle>()

  /**
   * Runs a `listen()`. node puts the handle on the server and calls the handle's `listen` right after, in the same turn; it is
   * caught in between.
   */
  catch(server: net.Server, listen: () => net.Server): net.Server {
    let current = (server as HandledServer)._handle ?? null
    const set = (handle: Handle | null): void => {
      current = handle
      if (handle) this.#hold(server, handle)
    }
    const visible = { configurable: true, enumerable: true }
    Object.defineProperty(server, '_handle', { ...visible, get: () => current, set })
    try {
      return listen()
    } finally {
      Object.defineProperty(server, '_handle', { ...visible, value: current, writable: true })
    }
  }

  /** Whether one of them is to keep the process alive, as a server that accepts does. */
  get areReferenced(): boolean {
    return [...this.#held].some(([handle, { server }]) => handleOf(server) === handle && handle.hasRef())
  }

  /** Has libuv accept. What fails comes as the server's `error` event, as from any `listen()`. */
  letIn(): void {
    for (const [handle, { server, backlog }] of this.#held) {
      delete (handle as Partial<Handle>).listen
      // It was closed meanwhile.
      if (handleOf(server) !== handle) continue
      const status = handle.listen(backlog)
      if (status !== 0) fail(server, status)
    }
    this.#held.clear()
  }

  forget(): void {
    this.#held.clear()
  }

  #hold(server: net.Server, handle: Handle): void {
    const held = this.#held.get(handle) ?? { server, backlog: 0 }
    this.#held.set(handle, Object.assign(held, { server }))
    handle.listen = (backlog) => {
      held.backlog = backlog
      return 0
    }
  }
}

function fail(server: net.Server, status: number): void {
  const code = getSystemErrorName(status)
  const error = Object.assign(new Error(`listen ${code}: an inherited socket that was held back`), { code, errno: status, syscall: 'listen' })
  process.nextTick(() => {
    if (server.listening) server.close()
    server.emit('error', error)
  })
}
