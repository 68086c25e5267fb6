// The app that scripts/spread measures: each answer names the process that gave it. WORKERS=N forks workers of node:cluster;
// with BUSY=1 the first process computes for 70 ms of every 100; REQUESTS_EACH=N is the most on one connection.
import cluster from 'node:cluster'
import http from 'node:http'

const workers = Number(process.env.WORKERS)
const name = cluster.worker ? String(cluster.worker.id) : process.env.HOLDFAST_INSTANCE.split('.')[1]

if (workers > 0 && cluster.isPrimary) {
  for (let i = 0; i < workers; i++) cluster.fork()
} else {
  const server = http.createServer((request, response) => response.setHeader('x-process', name).end('fine\n'))
  server.maxRequestsPerSocket = Number(process.env.REQUESTS_EACH)
  server.listen(process.env.PORT)
  if (process.env.BUSY === '1' && name === '1') setInterval(() => {
    const end = performance.now() + 70
    while (performance.now() < end);
  }, 100)
}
