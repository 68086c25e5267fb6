// Servers that listen twice, in each way there is, and ready() more than once.
import http from 'node:http'
import { listen, listeners, ready } from 'holdfast'

const busy = http.createServer()
await new Promise((resolve) => busy.listen(0, '127.0.0.1', resolve))
const tell = (error) => console.log(`refused: ${error.code}`)
await listen(busy, 'http').catch(tell)
console.log(`listening: ${listeners()[0].listening}`)
const server = http.createServer((_, response) => response.end('hello'))
await Promise.all([listen(server, 'http'), listen(server, 'http').catch(tell)])
await listen(server, { name: 'http', port: 3000 }).catch(tell)
try {
  server.listen(3000)
} catch (error) {
  tell(error)
}
console.log(`ready: ${[ready(), ready(), ready()].join()}`)
