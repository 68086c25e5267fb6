// @ts-check
/**
 * Where the traffic goes, in the form that node's http and net both take.
 *
 * @typedef {{ host: string, port: number } | { socketPath: string }} Target
 */

/**
 * Reads `127.0.0.1:8080`, `[::1]:8080`, `8080` (loopback) or an absolute unix path, as `[listen]` writes them.
 *
 * @param {string} address
 * @returns {Target}
 */
export function parseAddress(address) {
  if (address.startsWith('/')) return { socketPath: address }
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):)?(\d{1,5})$/.exec(address)
  if (!match) throw new TypeError(`not an address: ${JSON.stringify(address)} (host:port, [v6]:port, a port or /a/path)`)
  const host = match[1] ?? match[2] ?? '127.0.0.1'
  if (!isLoopback(host)) throw new TypeError(`traffic goes to loopback only, not to ${host}`)
  return { host, port: Number(match[3]) }
}

/** @param {string} host */
function isLoopback(host) {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}
