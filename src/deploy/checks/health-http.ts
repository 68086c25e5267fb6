import { request as requestHttp, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as requestHttps } from 'node:https'
import { formatDuration } from '../../config/duration.js'
import type { Health } from '../../config/model.js'
import { plainText } from '../foreign-text.js'
import type { ProbeAnswer } from './health-answer.js'

export type HttpProbe = Extract<Health['probe'], { kind: 'http' }>

/** What is read of a body, in bytes; and shown of its first line, in characters. */
const longestBody = 64 << 10
const longestShown = 200

/**
 * Asks the server behind a unix socket once, with a GET whose answer is read to its end. Never throws. Redirects are not
 * followed: where they lead is another question. With TLS, nothing is verified, as the socket leads nowhere else.
 * @param timeoutMs until the end of the answer
 */
export function probeHttp(probe: HttpProbe, { socketPath, timeoutMs, signal }: { socketPath: string; timeoutMs: number; signal: AbortSignal }): Promise<ProbeAnswer> {
  if (signal.aborted) return Promise.resolve(unasked)
  const asked = `GET ${probe.path}`
  return new Promise((resolve) => {
    const options: RequestOptions & { rejectUnauthorized?: boolean } = {
      socketPath, path: probe.path, method: 'GET', setHost: false, agent: false, rejectUnauthorized: false,
      headers: { Host: probe.host, Connection: 'close', 'User-Agent': 'holdfast', Accept: '*/*' },
    }
    const request = (probe.tls ? requestHttps : requestHttp)(options)
    let began: IncomingMessage | undefined
    const end = (answer: ProbeAnswer): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      request.destroy()
      resolve(answer)
    }
    const bad = (kind: string, words: string): void => end({ ok: false, kind, words })
    const timer = setTimeout(() => {
      const time = `within ${formatDuration(timeoutMs)}`
      if (began === undefined) bad('timeout', `did not answer ${asked} ${time}`)
      else bad('timeout', `answered ${asked} with ${statusWords(began)}, and not to the end ${time}`)
    }, timeoutMs)
    const onAbort = (): void => end(unasked)
    signal.addEventListener('abort', onAbort)
    request.on('response', (response) => {
      began = response
      const body: Buffer[] = []
      let length = 0
      const whole = (): void => end(judge(probe, response, Buffer.concat(body).subarray(0, longestBody)))
      response.on('data', (chunk: Buffer) => {
        body.push(chunk)
        length += chunk.length
        if (length >= longestBody) whole()
      })
      response.on('end', whole)
      response.on('error', () => bad('cut', `answered ${asked} with ${statusWords(response)}, and cut off its answer`))
    })
    request.on('upgrade', (response, socket) => {
      socket.destroy()
      end(judge(probe, response, Buffer.alloc(0)))
    })
    request.on('error', (error: NodeJS.ErrnoException) => bad(error.code ?? 'error', failureWords(error, { asked, tls: probe.tls, socketPath })))
    request.end()
  })
}

/** Nobody hears of it: who aborts knows. */
const unasked: ProbeAnswer = { ok: false, kind: 'aborted', words: 'was not waited for' }

function judge({ path, status }: HttpProbe, response: IncomingMessage, body: Buffer): ProbeAnswer {
  const { statusCode = 0 } = response
  const words = `answered GET ${path} with ${statusWords(response)}`
  if (status === undefined ? statusCode >= 200 && statusCode <= 299 : status.includes(statusCode)) return { ok: true, words }
  const line = firstLine(body)
  const said = line === '' ? '' : ` "${line}"`
  return { ok: false, kind: `status ${statusCode}`, words: `${words}${said} (expected ${status === undefined ? '200 to 299' : status.join(' or ')})` }
}

/** Where it leads tells most about a redirect. */
function statusWords({ statusCode = 0, headers: { location } }: IncomingMessage): string {
  return statusCode >= 300 && statusCode <= 399 && location !== undefined ? `${statusCode} to ${cut(plainText(location))}` : String(statusCode)
}

/** The first line that says anything. */
function firstLine(body: Buffer): string {
  for (const line of body.toString('utf8').split('\n')) {
    const text = plainText(line)
    if (text !== '') return cut(text)
  }
  return ''
}

const cut = (text: string): string => (text.length <= longestShown ? text : `${text.slice(0, longestShown)}…`)

function failureWords(error: NodeJS.ErrnoException, { asked, tls, socketPath }: { asked: string; tls: boolean; socketPath: string }): string {
  switch (error.code) {
    case 'ENOENT':
      return `could not be asked for ${asked}: there is no private socket of it (${socketPath})`
    case 'ECONNREFUSED':
      return `could not be asked for ${asked}: nothing listens on its private socket (${socketPath})`
    case 'ECONNRESET':
      return `closed the connection without an answer to ${asked}`
  }
  if (error.code?.startsWith('HPE_')) return `answered ${asked} with what is no HTTP: ${plainText(error.message)}${tls ? '' : ' (a server with TLS needs `tls = true`)'}`
  if (tls && (error.code === 'EPROTO' || error.code?.startsWith('ERR_SSL'))) return `answered ${asked} without TLS, which \`tls = true\` asks for`
  return `could not be asked for ${asked}: ${plainText(error.message)}`
}
