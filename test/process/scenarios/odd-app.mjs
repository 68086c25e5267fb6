// An app that does what few apps do: header lists, hooks that fail or take their time, a status of its own during the drain, and
// servers by the hundred.
import http from 'node:http'
import { onDrain, status } from 'holdfast'

const lists = {
  '/flat': ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Connection', 'keep-alive'],
  '/pairs': [['Set-Cookie', 'a=1'], ['Set-Cookie', 'b=2'], ['Keep-Alive', 'timeout=9']],
}
let turnToStream
http
  .createServer((request, response) => {
    if (request.url === '/slow') return void setTimeout(() => response.end('hello'), 1500)
    if (request.url === '/late-stream') {
      turnToStream = () => response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: begun\n\n')
      return
    }
    if (request.url === '/throws') return
    response.writeHead(200, lists[request.url] ?? [])
    response.end('hello')
  })
  .listen(3000)
setInterval(() => status('12 orders'), 100).unref()
onDrain('request', async ({ request, response }) => {
  if (request.url === '/throws') throw new Error('the hook is broken')
  if (request.url !== '/slow') return
  await new Promise((resolve) => response.once('close', resolve))
  await new Promise((resolve) => setTimeout(resolve, 500))
  console.log('app: the hook has saved')
})
onDrain(() => void setTimeout(() => turnToStream?.(), 1500))
if (process.env.SERVERS) {
  const kept = []
  for (let n = 0; n < Number(process.env.SERVERS); n++) {
    const server = http.createServer().listen(`${process.env.FOLDER}/${n}`)
    kept.push(new WeakRef(server))
    await new Promise((resolve) => server.once('listening', resolve))
    await new Promise((resolve) => server.close(resolve))
  }
  await new Promise((resolve) => setTimeout(resolve, 10))
  globalThis.gc()
  await new Promise((resolve) => setTimeout(resolve, 10))
  globalThis.gc()
  console.log(`app: ${kept.filter((server) => server.deref()).length} servers are still there`)
}
