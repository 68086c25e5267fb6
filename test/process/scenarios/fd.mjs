// Knows of socket activation and takes fd 3 itself, without a backlog.
import http from 'node:http'

http.createServer((_, response) => response.end('hello')).listen({ fd: 3 }, () => console.log('listening'))
