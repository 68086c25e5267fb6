// As the package signal-exit does it: when nobody else listens, it takes itself away and raises the signal again.
import http from 'node:http'

const server = http.createServer((request, response) => {
  const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms') ?? 0)
  setTimeout(() => response.end('hello'), ms)
})
server.listen(3000)
setInterval(() => {}, 60_000)
const onSigterm = () => {
  if (process.listeners('SIGTERM').length > 1) return
  console.log('app: heard')
  process.off('SIGTERM', onSigterm)
  process.kill(process.pid, 'SIGTERM')
}
process.on('SIGTERM', onSigterm)
