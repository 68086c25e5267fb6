/** What a call of `net.Server.listen()` asks for. */
export interface ListenRequest {
  /**
   * `address`: a port or a path; `any`: `listen()` without an address; `ephemeral`: port 0; `fd`: a descriptor of the app's own
   * choice; `other`: a handle, or something that node itself has to judge.
   */
  kind: 'address' | 'any' | 'ephemeral' | 'fd' | 'other'
  port?: number
  host?: string
  path?: string
  fd?: number
  signal?: AbortSignal
  callback?: () => void
}

/**
 * Reads the overloads of `server.listen()`: (options, cb), (port, host, backlog, cb), (path, backlog, cb), (handle, backlog, cb).
 * What it does not understand is `other`, and is left to node with its own errors.
 */
export function readListenArguments(args: readonly unknown[]): ListenRequest {
  const callback = args.findLast((arg) => typeof arg === 'function') as (() => void) | undefined
  const rest = callback ? { callback } : {}
  const [first, second] = args
  if (first === undefined || first === null || typeof first === 'function') return { kind: 'any', ...rest }
  if (typeof first === 'object') return { ...readOptions(first as Record<string, unknown>), ...rest }
  if (typeof first === 'string' && Number.isNaN(Number(first))) return { kind: 'address', path: first, ...rest }
  const host = typeof second === 'string' ? { host: second } : {}
  return { ...readPort(first, host), ...rest }
}

/** The request in the words of the call, for messages: `listen(3000)`. */
export function formatRequest(request: ListenRequest): string {
  if (request.path !== undefined) return `listen("${request.path}")`
  if (request.fd !== undefined) return `listen({ fd: ${request.fd} })`
  const host = request.host === undefined ? '' : `, "${request.host}"`
  return request.port === undefined ? 'listen()' : `listen(${request.port}${host})`
}

function readOptions(options: Record<string, unknown>): ListenRequest {
  const signal = options.signal instanceof AbortSignal ? { signal: options.signal } : {}
  if ('_handle' in options || 'handle' in options) return { kind: 'other' }
  if (typeof options.fd === 'number' && options.fd >= 0) return { kind: 'fd', fd: options.fd, ...signal }
  if (options.port !== undefined && options.port !== null) {
    const host = typeof options.host === 'string' ? { host: options.host } : {}
    return readPort(options.port, { ...host, ...signal })
  }
  // A port that is there but undefined is port 0 to node, whatever else the options say.
  if ('port' in options) return { kind: 'any', ...signal }
  return typeof options.path === 'string' ? { kind: 'address', path: options.path, ...signal } : { kind: 'other' }
}

function readPort(value: unknown, rest: Partial<ListenRequest>): ListenRequest {
  const port = toPort(value)
  if (port === undefined) return { kind: 'other' }
  return port === 0 ? { kind: 'ephemeral', port, ...rest } : { kind: 'address', port, ...rest }
}

/** As node's own check of a port: a number, or a string that is one. */
function toPort(value: unknown): number | undefined {
  if (typeof value !== 'number' && (typeof value !== 'string' || value.trim() === '')) return undefined
  const port = Number(value)
  return Number.isInteger(port) && port >= 0 && port <= 65_535 ? port : undefined
}
