// Every way to set a header oneself.
import http from 'node:http'

http
  .createServer((request, response) => {
    if (request.url === '/set') {
      response.setHeader('Connection', 'keep-alive')
      response.setHeader('x-other', 'kept')
    } else if (request.url === '/head') {
      response.writeHead(200, 'OK', { 'Connection': 'keep-alive', 'x-other': 'kept' })
    } else {
      response.writeHead(200, ['Connection', 'keep-alive', 'x-other', 'kept'])
    }
    response.end('hello')
  })
  .listen(3000)
