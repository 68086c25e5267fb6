// What apps do without the runtime: take fd 3, and end at once on SIGTERM. It shows that the traffic of the tests can fail.
import http from 'node:http'

const server = http.createServer((request, response) => {
  request.resume().on('end', () => response.end(`hello from ${process.pid}`))
})
server.listen({ fd: 3 }, 4096, () => console.log('listening'))
process.on('SIGTERM', () => server.close(() => process.exit()))
