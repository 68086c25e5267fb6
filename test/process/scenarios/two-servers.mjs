// Two listeners by their ports, the second one opened late (on SIGUSR2).
import http from 'node:http'

http.createServer((_, response) => response.end('web')).listen({ port: Number(process.env.WEB_PORT) })
process.on('SIGUSR2', () => {
  http.createServer((_, response) => response.end('admin')).listen(process.env.ADMIN_PORT, '127.0.0.1')
})
