// Express, stopped by @godaddy/terminus, which Express's own page on graceful shutdown names.
import http from 'node:http'
import { createTerminus } from '@godaddy/terminus'
import express from 'express'

const app = express()
app.use(express.raw({ type: () => true }))

app.get('/', (request, response) => response.send(`hello from ${process.pid}\n`))
app.post('/', (request, response) => response.send(`${request.body.length} bytes, answered from ${process.pid}\n`))
app.get('/slow', (request, response) => setTimeout(() => response.send(`slow from ${process.pid}\n`), 1000))

const server = http.createServer(app)
createTerminus(server, {
  signal: 'SIGTERM',
  timeout: 500,
  useExit0: true,
  healthChecks: { '/healthz': async () => ({ pid: process.pid }) },
  beforeShutdown: async () => console.log('terminus: shutting down'),
  onSignal: async () => console.log('terminus: server stopped, closing the database'),
  onShutdown: async () => console.log('terminus: done'),
})
server.listen(process.env.PORT ?? 3000)
