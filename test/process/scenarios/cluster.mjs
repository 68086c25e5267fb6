// A primary with two workers that share a port.
import cluster from 'node:cluster'
import http from 'node:http'

if (cluster.isPrimary) {
  for (let index = 0; index < 2; index++) cluster.fork()
} else {
  http.createServer((_, response) => response.end(`worker ${cluster.worker.id}`)).listen(Number(process.env.PORT), '127.0.0.1')
}
