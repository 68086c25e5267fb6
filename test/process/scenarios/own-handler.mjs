// As most apps do it: close the server, then the database, then exit with a status; and force it after a while.
import http from 'node:http'

const server = http.createServer((request, response) => {
  const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms') ?? 0)
  setTimeout(() => response.end('hello'), ms)
})
server.listen(3000)
process.on('SIGTERM', () => {
  console.log('app: heard')
  setTimeout(() => process.exit(1), 800)
  server.closeIdleConnections()
  server.close(async (error) => {
    console.log(`app: closed ${error ?? ''}`)
    server.closeAllConnections()
    await new Promise((resolve) => setTimeout(resolve, 300))
    console.log('app: database closed')
    process.exit(7)
  })
})
