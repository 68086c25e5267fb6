// The app that scripts/benchmark measures. On SIGUSR2 it says how much memory is resident after a garbage collection.
import http from 'node:http'

const body = JSON.stringify({ products: ['rope', 'anchor', 'cleat'] })
const server = http.createServer((request, response) => {
  response.setHeader('content-type', 'application/json')
  response.end(body)
})
server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
process.on('SIGUSR2', () => {
  // What the first finds is freed in the second.
  globalThis.gc()
  setImmediate(() => {
    globalThis.gc()
    console.log(JSON.stringify({ rss: process.memoryUsage.rss() }))
  })
})
