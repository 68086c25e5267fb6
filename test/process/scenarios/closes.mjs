// Closes its server on SIGUSR2; goes on without it with STAY=1.
import http from 'node:http'

const server = http.createServer((_, response) => response.end(`now from ${process.pid}`))
server.listen(3000)
process.on('SIGUSR2', () => server.close(() => console.log('app: closed')))
if (process.env.STAY) setInterval(() => {}, 60_000)
