// A server, a drain hook that takes HOOK_MS, and what the library knows of itself.
import http from 'node:http'
import { draining, instance, listen, onDrain, ready } from 'holdfast'

onDrain(async ({ reason }) => {
  await new Promise((resolve) => setTimeout(resolve, Number(process.env.HOOK_MS)))
  console.log(`app: hook done, ${reason} ${draining.aborted}`)
})
await listen(http.createServer((_, response) => response.end('hello')), 3000)
console.log(`app: instance ${instance?.name} ${ready()}`)
