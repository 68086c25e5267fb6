import { request as requestHttp, type IncomingMessage } from 'node:http'
import { request as requestHttps, type RequestOptions } from 'node:https'
import { shellText } from '../config/shell.js'
import { isLoopback, showAddress } from '../config/web-address.js'
import { formatDuration } from '../config/duration.js'
import { HoldfastError } from '../errors.js'
import { trustedCertificates } from './trusted-certificates.js'

const mostRedirects = 5
const redirects = new Set([301, 302, 303, 307, 308])

/** How long a server may say nothing, in the connection and between two parts of a file. */
export const defaultIdleMs = 60_000
/** In twice that time: what comes more slowly would keep others waiting for days. */
const leastBytesPerSecond = 1024

export interface DownloadOptions {
  /** Default `defaultIdleMs`. */
  idleMs?: number
  /** Each address that is asked: the first, and where redirects lead. */
  onAsk?(url: URL): void
  signal?: AbortSignal
}

/** A file that has begun to come in. */
export interface Download {
  body: AsyncIterable<Uint8Array>
  totalBytes?: number
}

/**
 * Asks for a file by https, or by http from this machine alone; follows redirects, never to anything less safe. Errors of the
 * connection come as node's own, here and from the body: see `explainDownloadError`.
 * @throws HoldfastError `fetch-failed` for what the server answers
 */
export async function download(address: URL, options: DownloadOptions = {}): Promise<Download> {
  let url = address
  for (let count = 0; ; count += 1) {
    checkSafe(url, address)
    options.onAsk?.(url)
    const response = await get(url, options)
    const { statusCode = 0, headers } = response
    if (statusCode === 200) {
      const length = headers['content-length']
      return { body: watchRate(response, url, options), ...(length !== undefined && /^\d{1,15}$/.test(length) ? { totalBytes: Number(length) } : {}) }
    }
    response.destroy()
    if (!redirects.has(statusCode) || headers.location === undefined) throw refused(url, statusCode)
    if (count === mostRedirects) throw failed(`${showAddress(address.href)} was redirected ${mostRedirects} times, and then once more`, `curl -sIL ${shellText(showAddress(address.href))}   # where does it lead?`)
    url = follow(url, headers.location)
  }
}

function follow(from: URL, location: string): URL {
  if (!URL.canParse(location, from.href)) throw failed(`${showAddress(from.href)} redirects to something that is no address`, `curl -sI ${shellText(showAddress(from.href))}`)
  const to = new URL(location, from)
  // The same server gets the credentials again, another one does not.
  const same = to.origin === from.origin
  to.username = same ? from.username : ''
  to.password = same ? from.password : ''
  if (from.protocol === 'https:' && to.protocol !== 'https:') {
    throw failed(`${showAddress(from.href)} redirects from https to ${showAddress(to.href)}, which is not followed`, 'ask for the address that it leads to, where that is https')
  }
  return to
}

function checkSafe(url: URL, asked: URL): void {
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url))) return
  const how = url === asked ? '' : `, where ${showAddress(asked.href)} leads,`
  throw failed(`${showAddress(url.href)}${how} is not fetched: only https:// is, and http:// from this machine`, 'use an address that begins with https://')
}

/** Ends what comes too slowly, by the bytes of the file itself: what goes around them is no progress. */
async function* watchRate(response: IncomingMessage, url: URL, { idleMs = defaultIdleMs }: DownloadOptions): AsyncGenerator<Uint8Array> {
  const spanMs = 2 * idleMs
  let bytes = 0
  const timer = setInterval(() => {
    if (bytes < (leastBytesPerSecond * spanMs) / 1000) response.destroy(tooSlow(url, bytes, spanMs))
    bytes = 0
  }, spanMs)
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      yield chunk
    }
  } finally {
    clearInterval(timer)
  }
}

function tooSlow(url: URL, bytes: number, ms: number): HoldfastError {
  const shown = showAddress(url.href)
  return failed(`${shown}: the server sent ${bytes} bytes of it in ${formatDuration(ms)}, and ${leastBytesPerSecond} a second are the least`, `curl -o /dev/null ${shellText(shown)}   # is it as slow there? Run this again once it is not`)
}

function get(url: URL, { idleMs = defaultIdleMs, signal }: DownloadOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const common: RequestOptions = { agent: false, timeout: idleMs, headers: { 'user-agent': 'holdfast', accept: '*/*', 'accept-encoding': 'identity' } }
    if (signal !== undefined) common.signal = signal
    const request = url.protocol === 'https:' ? requestHttps(url, { ...common, ca: trustedCertificates() }) : requestHttp(url, common)
    let response: IncomingMessage | undefined
    // Of an answer that comes byte by byte before the file begins.
    const slow = setTimeout(() => request.destroy(tooSlow(url, 0, 2 * idleMs)), 2 * idleMs)
    request.on('close', () => clearTimeout(slow))
    request.on('response', (begun) => {
      clearTimeout(slow)
      // Whoever reads it is told; one that nobody reads any more may end as it likes.
      begun.on('error', () => {})
      resolve((response = begun))
    })
    request.on('timeout', () => {
      const error = failed(`${showAddress(url.href)}: the server said nothing for ${formatDuration(idleMs)}`, `curl -sSI ${shellText(showAddress(url.href))}`)
      ;(response ?? request).destroy(error)
    })
    request.on('error', reject)
    request.end()
  })
}

/** Whether a connection was cut, so that asking again may help. */
export function isConnectionLost(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE'].includes((error as NodeJS.ErrnoException).code ?? '')
}

/**
 * What went wrong with a connection, for operators; an error that explains itself stays as it is.
 * @param url what was asked last
 * @param asked what was asked first, where that led to it
 */
export function explainDownloadError(error: unknown, url: URL, asked = url): unknown {
  if (error instanceof HoldfastError || !(error instanceof Error)) return error
  const { code = '', message } = error as NodeJS.ErrnoException
  const [shown, host, port] = [showAddress(url.href), url.hostname, url.port || (url.protocol === 'https:' ? '443' : '80')]
  const what = asked.href === url.href ? shown : `${showAddress(asked.href)} leads to ${shown}`
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return failed(`${what}: the name ${host} cannot be found (${code})`, `getent hosts ${shellText(host)}`, error)
  if (code === 'ECONNREFUSED') return failed(`${what}: ${host} refused the connection on port ${port}`, `curl -sSI ${shellText(shown)}   # does the server run?`, error)
  if (['EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'EHOSTDOWN'].includes(code)) return failed(`${what}: ${host} cannot be reached (${code})`, `ip route get $(getent hosts ${shellText(host)} | cut -d' ' -f1)`, error)
  if (isConnectionLost(error)) return failed(`${what}: the connection was lost before the end`, `run this again; curl -o /dev/null ${shellText(shown)} shows whether it was the server`, error)
  if (/^ERR_TLS_|^ERR_SSL_|^CERT_|CERT|SIGNATURE|^EPROTO$/.test(code)) {
    return failed(`${what}: TLS failed: ${message.split('\n')[0]} (${code})`, `for an authority of your own, put its certificate into /usr/local/share/ca-certificates and run update-ca-certificates; curl -vI ${shellText(shown)} shows the server's`, error)
  }
  return failed(`${what}: ${message}${code === '' || message.includes(code) ? '' : ` (${code})`}`, `curl -vI ${shellText(shown)}`, error)
}

function refused(url: URL, status: number): HoldfastError {
  const shown = showAddress(url.href)
  const mend = `curl -sSI ${shellText(shown)}`
  if (status === 401 || status === 403) return failed(`${shown}: the server refuses access (HTTP ${status})`, 'put credentials into the address, https://user:password@…; they are not recorded')
  if (status === 404 || status === 410) return failed(`${shown}: there is no such file (HTTP ${status})`, `${mend}   # is the version built, and the address right?`)
  return failed(`${shown}: the server answered HTTP ${status}, expected 200`, mend)
}

function failed(message: string, hint: string, cause?: unknown): HoldfastError {
  return new HoldfastError('fetch-failed', message, { hint, ...(cause === undefined ? {} : { cause }) })
}
