// Level 2: everything by name, with a hook that ends on SIGUSR2.
import http from 'node:http'
import { draining, instance, listen, listeners, log, onDrain, ready, status } from 'holdfast'

const answer = (_, response) => response.end('hello')
console.log(`instance ${JSON.stringify(instance)}`)
await Promise.all([listen(http.createServer(answer), 'http'), listen(http.createServer(answer), { name: 'admin', port: 9 })])
if (!listeners().every((each) => each.listening)) throw new Error('not all of them listen')
ready()
ready()
status('warm and ready\nREADY=0')
onDrain(async ({ timeoutMs, signal }) => {
  log.info(`hook: begun, draining ${draining.aborted}, ${timeoutMs} ms`)
  signal.addEventListener('abort', () => log.info('hook: aborted'))
  await new Promise((resolve) => process.once('SIGUSR2', resolve))
  log.info('hook: over')
})
onDrain(() => {
  throw new Error('a hook that fails')
})
