import { once } from 'node:events'
import type { ListenOptions, Server } from 'node:net'
import { HoldfastError } from '../../errors.js'
import type { PreviewRelay } from './preview-relay.js'

export interface PreviewEnd {
  /** Ends it so long after the last connection has ended; absent: it stays. */
  idleMs?: number
  /** Ends it: no new connection is taken. */
  signal: AbortSignal
  /** How long what is open may take to end by itself, once the signal has come. */
  graceMs: number
}

/** Relays what connects to these servers until the end. */
export async function servePreview(relay: PreviewRelay, servers: readonly Server[], { idleMs, signal, graceMs }: PreviewEnd): Promise<void> {
  for (const server of servers) server.on('error', (error) => process.stderr.write(`A connection could not be taken: ${error.message}\n`))
  let idle: NodeJS.Timeout | undefined
  await new Promise<void>((resolve) => {
    const look = (): void => {
      clearTimeout(idle)
      if (idleMs !== undefined && relay.open === 0) idle = setTimeout(resolve, idleMs)
    }
    relay.watch(look)
    look()
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (signal.aborted) resolve()
  })
  // From here on, a timer would only keep the process from its end.
  relay.watch(() => {})
  clearTimeout(idle)
  // A connection that is taken in between is still served: closed is a server once the last one has ended.
  const closed = Promise.all(servers.map((server) => (server.listening ? once(server.close(), 'close') : undefined)))
  const deadline = signal.aborted ? setTimeout(() => relay.cutAll(), graceMs) : undefined
  await closed
  clearTimeout(deadline)
}

/** @throws HoldfastError `machine-unfit` for an address that cannot be had */
export async function listenOn(server: Server, options: ListenOptions): Promise<Server> {
  server.listen(options)
  try {
    await once(server, 'listening')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const where = `${options.host ?? 'all addresses'}, port ${options.port}`
    throw new HoldfastError('machine-unfit', code === 'EADDRINUSE' ? `${where} is in use` : `${where} cannot be opened: ${message}`, { hint: 'leave out --port for a free one, or choose another', cause: error })
  }
  return server
}
