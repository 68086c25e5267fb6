// Fails while it drains, and exits for that.
import http from 'node:http'

http
  .createServer((request, response) => {
    const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms') ?? 0)
    setTimeout(() => response.end('hello'), ms)
  })
  .listen(3000)
process.on('uncaughtException', () => process.exit(3))
process.on('SIGUSR2', () => {
  throw new Error('the worst moment')
})
