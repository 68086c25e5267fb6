// Listens to SIGTERM without ending the process, which a timer keeps alive.
import http from 'node:http'

http.createServer((_, response) => response.end('hello')).listen(3000)
setInterval(() => {}, 60_000)
process.on('SIGTERM', () => console.log('app: heard'))
