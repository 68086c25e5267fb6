// node:http, with the shutdown that most articles show: close() on SIGTERM, exit() when it is done, and a time limit.
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

const server = http.createServer(async (request, response) => {
  if (request.url === '/slow') await sleep(1000)
  let length = 0
  for await (const piece of request) length += piece.length
  response.setHeader('Content-Type', 'text/plain')
  response.end(`${request.method} of ${length} bytes, answered from ${process.pid}\n`)
})

server.listen(process.env.PORT ?? 3000, () => console.log('listening'))

process.on('SIGTERM', () => {
  console.log('SIGTERM: closing the server')
  server.close((error) => {
    console.log('server closed')
    process.exit(error ? 1 : 0)
  })
  server.closeIdleConnections()
  setTimeout(() => {
    console.error('could not close in time, giving up')
    process.exit(1)
  }, 500).unref()
})
