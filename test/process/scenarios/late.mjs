// SIGTERM comes while it still starts: the server, readiness and a hook come during the drain.
import http from 'node:http'
import { draining, onDrain, ready } from 'holdfast'

onDrain(() => {
  throw new Error('a hook that throws at once')
})
onDrain(() => {
  onDrain(async () => {
    console.log('late hook: begun')
    await new Promise((resolve) => process.once('SIGUSR2', resolve))
    console.log('late hook: over')
  })
})
console.log('starting')
setInterval(() => {}, 60_000)
await new Promise((resolve) => draining.addEventListener('abort', resolve))
http.createServer((_, response) => response.end('too late')).listen(3000, () => console.log('accepts'))
console.log(`ready: ${ready()}`)
