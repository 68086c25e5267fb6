import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface GitServer {
  /** The address without a path. */
  origin: string
  /** Each request's method and path, with `Authorization:` where one came. */
  requests: { line: string; authorization?: string }[]
  close(): void
}

/** Serves the repositories of a folder on loopback by git's own http-backend(1); with credentials, to nobody else. */
export async function serveRepositories(folder: string, credentials?: string): Promise<GitServer> {
  const requests: GitServer['requests'] = []
  const server = createServer((request, response) => {
    const { authorization } = request.headers
    requests.push({ line: `${request.method} ${request.url}`, ...(authorization === undefined ? {} : { authorization }) })
    if (credentials !== undefined && authorization !== `Basic ${Buffer.from(credentials).toString('base64')}`) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
    } else {
      runBackend(folder, request, response)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

function runBackend(folder: string, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, search } = new URL(request.url ?? '/', 'http://localhost')
  const backend = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      PATH: process.env['PATH'], GIT_PROJECT_ROOT: folder, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: pathname, QUERY_STRING: search.slice(1),
      REQUEST_METHOD: request.method, CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: String(request.headers['content-encoding'] ?? ''), GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
  })
  // A client that hangs up, or a request that the backend does not read.
  backend.stdin.on('error', () => {})
  request.pipe(backend.stdin)
  const parts: Buffer[] = []
  backend.stdout.on('data', (part: Buffer) => parts.push(part))
  backend.on('close', () => {
    const answer = Buffer.concat(parts)
    const end = answer.indexOf('\r\n\r\n')
    const headers = answer.subarray(0, end).toString('latin1').split('\r\n').map((line) => line.split(/: (.*)/s))
    for (const [name = '', value = ''] of headers) {
      if (name === 'Status') response.statusCode = Number.parseInt(value, 10)
      else response.setHeader(name, value)
    }
    response.end(answer.subarray(end + 4))
  })
}
