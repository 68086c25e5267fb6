// A 'timeout' listener takes it on itself to end connections; this one does not.
import http from 'node:http'

const server = http.createServer((_, response) => response.end('hello'))
server.keepAliveTimeout = 500
server.on('timeout', () => {})
server.listen(3000)
