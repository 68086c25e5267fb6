// Level 2: a server, a consumer that waits until it is let in, and exclusive work.
import http from 'node:http'
import { draining, exclusive, listen, listeners, ready, whenLive } from 'holdfast'

const server = http.createServer((_, response) => response.end(`now from ${process.pid}`))
await listen(server, process.env.HOLDFAST_LISTEN ? 'http' : { port: 0 })
console.log(`app: listeners ${JSON.stringify(listeners().map(({ name, listening }) => [name, listening]))}`)
ready()
void exclusive('poller', async ({ signal }) => {
  console.log('app: polls')
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
})
await whenLive()
console.log(`app: consumes ${draining.aborted}`)
if (!process.env.HOLDFAST_LISTEN) server.close()
