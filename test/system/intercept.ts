/**
 * Code in front of a release's listen(), for `before` of `serverJs`: each request comes to `code` first, which answers it and
 * returns true, or leaves it to the server. It has `request`, `response`, and `state`, which lives as long as the process.
 */
export const intercept = (code: string): string => `
const state = { requests: 0, began: Date.now() }
const createServer = http.createServer
http.createServer = (serve) => createServer(async (request, response) => {
  const answered = await (async () => { ${code} })()
  if (answered !== true) serve(request, response)
})`

/** Answers `GET /healthz` with a status, as an expression, and one line. */
export const healthz = (status: string, line = ''): string =>
  `if (request.url === '/healthz') { response.writeHead(${status}).end(${JSON.stringify(line)}); return true }`
