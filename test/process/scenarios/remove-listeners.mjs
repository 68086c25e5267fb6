// Removes every listener that it can, as some test runners and shutdown libraries do.
import http from 'node:http'

const server = http.createServer((request, response) => {
  const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms') ?? 0)
  setTimeout(() => response.end('hello'), ms)
})
server.listen(3000)
process.on('SIGTERM', () => process.exit(9))
if (process.env.REMOVE === 'all') process.removeAllListeners()
else process.removeAllListeners('SIGTERM')
setInterval(() => {}, 60_000)
