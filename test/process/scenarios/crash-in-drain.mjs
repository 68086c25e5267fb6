// Fails in its own shutdown, and exits from its handler for that.
import http from 'node:http'

http
  .createServer((request, response) => {
    const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms') ?? 0)
    setTimeout(() => response.end('hello'), ms)
  })
  .listen(3000)
process.on('uncaughtException', () => process.exit(3))
process.on('SIGTERM', () => {
  throw new Error('the shutdown is broken')
})
