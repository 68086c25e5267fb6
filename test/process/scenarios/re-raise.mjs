// As NestJS does it: its handler takes itself away and raises the signal again. A timer, as of a pool, keeps the process alive.
import http from 'node:http'

const server = http.createServer((request, response) => {
  const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms') ?? 0)
  setTimeout(() => response.end('hello'), ms)
})
server.listen(3000)
setInterval(() => {}, 60_000)
const onSigterm = async () => {
  console.log('app: heard')
  await new Promise((resolve) => server.close(resolve))
  process.off('SIGTERM', onSigterm)
  process.kill(process.pid, 'SIGTERM')
}
process.on('SIGTERM', onSigterm)
