import { expect, it } from 'vitest'
import { ask, makeShop, recorded } from './apps.js'
import { activeState, expectSuccess, holdfast, journal, show, waitFor } from './harness.js'

it('replaces an instance whose event loop is blocked, and the socket stays', async () => {
  const shop = await makeShop('watchdog', { config: 'watchdog = "1s"\n[start]\nsettle = "300ms"' })
  // Blocks in the middle of a request.
  await shop.write({
    'server.js': `import http from 'node:http'
http.createServer((request, response) => {
  if (request.url === '/block') for (const end = Date.now() + 20_000; Date.now() < end; );
  response.setHeader('x-release', '1')
  response.end(String(process.pid))
}).listen(process.env.PORT)`,
  })
  expectSuccess(await holdfast('install', shop.config))
  const unit = `${shop.name}@1.1.service`
  const before = await show(unit, 'MainPID', 'InvocationID')
  const socket = await show(`${shop.name}-http.socket`, 'InvocationID', 'ActiveEnterTimestampMonotonic')
  // Alive for longer than the watchdog allows for silence: the runtime pings.
  const calm = Date.now()
  await waitFor('2.5 s have passed', async () => (await ask(shop)).status === 200 && Date.now() - calm > 2_500, { everyMs: 200 })
  expect(await show(unit, 'MainPID', 'InvocationID')).toEqual(before)

  const begin = Date.now()
  const blocked = fetch(`http://${shop.address}/block`).then(() => 'answered', () => 'cut')
  const waiting = waitFor('a new request is answered', async () => (await fetch(`http://${shop.address}/`, { signal: AbortSignal.timeout(15_000) })).text(), { timeoutMs: 15_000 })
  expect(await blocked).toBe('cut')
  // Waits in the socket's queue, or was taken by the blocked instance and is made again.
  expect(Number(await waiting)).not.toBe(Number(before.MainPID))
  expect(Date.now() - begin).toBeLessThan(15_000)
  const after = await show(unit, 'MainPID', 'InvocationID', 'NRestarts')
  expect(after.NRestarts).toBe('1')
  expect(after.MainPID).not.toBe(before.MainPID)
  expect(await journal(shop.name)).toMatch(/Watchdog timeout[^]*Failed with result 'watchdog'/)
  expect(await activeState(`${shop.name}-http.socket`)).toBe('active')
  expect(await show(`${shop.name}-http.socket`, 'InvocationID', 'ActiveEnterTimestampMonotonic')).toEqual(socket)
  expect((await recorded(shop)).live?.generation).toBe(1)
})
