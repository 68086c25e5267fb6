// A handler that is gone once it ran, promises, and no exit() at the end: the event loop runs empty.
import http from 'node:http'
import { promisify } from 'node:util'

const server = http.createServer((request, response) => {
  const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms') ?? 0)
  setTimeout(() => response.end('hello'), ms)
})
server.listen(3000)
process.once('SIGTERM', async () => {
  await promisify(server.close.bind(server))()
  console.log('app: closed')
  await new Promise((resolve) => setTimeout(resolve, 300))
  console.log('app: database closed')
})
