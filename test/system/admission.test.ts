import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { expect, it, onTestFinished } from 'vitest'
import { ask, makeShop, recorded, visit, type Shop } from './apps.js'
import { activeState, expectSuccess, holdfast, journal, systemctl, waitFor } from './harness.js'

/** Puts a table into the installed configuration; it is in force from the next handover on. */
async function setAdmission(shop: Shop, keys: string): Promise<void> {
  const file = `/etc/holdfast/${shop.name}.toml`
  const text = await readFile(file, 'utf8')
  await writeFile(file, `${text.replace(/\[admission\]\n(?:\w+ = .*\n)*/, '')}[admission]\n${keys}\n`)
}

/** Restarts the app, which is refused. @returns what the journal says of it */
async function refused(shop: Shop): Promise<string> {
  const before = await recorded(shop)
  expect((await systemctl('restart', shop.name)).status).not.toBe(0)
  const after = await recorded(shop)
  expect(after.live).toEqual(before.live)
  expect(after.generation).toBe(before.generation)
  expect(after.wanted).toBe(before.wanted)
  expect((await ask(shop)).generation).toBe(String(before.live?.generation))
  return (await journal(shop.name, '--output=cat')).split('No handover: ').at(-1) ?? ''
}

it('refuses a generation for which there is no memory, with the figures, while the old one serves on', async () => {
  const ballast = 'const ballast = Buffer.alloc(150 * 2 ** 20, 1)\nsetInterval(() => ballast[0], 60_000)'
  const shop = await makeShop('memory', { config: '[start]\nsettle = "200ms"' })
  await shop.release('1', { before: ballast })
  expectSuccess(await holdfast('install', shop.config))
  const traffic = visit(shop)
  await setAdmission(shop, 'reserve = "64T"')
  await shop.release('2')
  const said = await refused(shop)
  const figures = /^memory-\S+ needs about (\d+\.\d)M more for generation 2 \(1 process as much as the largest of generation 1: \1M\), and (\S+) are available on this machine; \[admission\] reserve keeps 64\.0T of them\nTry: make room; or holdfast deploy \S+ … --no-admission; or change reserve/.exec(said)
  expect(figures, said).not.toBeNull()
  // What it has allocated, and what node takes besides.
  expect(Number(figures?.[1])).toBeGreaterThan(150)
  expect(Number(figures?.[1])).toBeLessThan(400)

  // A limit of its own is the most that it can need; and neither figure is looked at where nobody asks.
  await setAdmission(shop, 'reserve = "64T"\nmemory = false')
  expectSuccess(await systemctl('restart', shop.name))
  expect(await ask(shop)).toMatchObject({ generation: '2', release: '2' })
  expect((await traffic.stop()).failures).toEqual([])
})

it('refuses one more where too many drain, or one for too long', async () => {
  const shop = await makeShop('drains', { config: '[start]\nsettle = "200ms"' })
  expectSuccess(await holdfast('install', shop.config))
  await setAdmission(shop, 'max_draining = 1')
  // An upload that has begun keeps the generation that takes it from ending.
  const upload = http.request({ port: shop.port, path: '/orders', method: 'POST', agent: false, headers: { 'content-length': '2', expect: '100-continue' } })
  onTestFinished(() => void upload.destroy())
  await once(upload, 'continue')
  expectSuccess(await systemctl('restart', shop.name))
  expect(await activeState(`${shop.name}@1.1.service`)).toBe('deactivating')
  expect(await refused(shop)).toMatch(/^generation 1 has been draining for \d+ s; \[admission\] max_draining is 1\nTry: wait for them \(holdfast status /)

  const deployed = await holdfast('deploy', shop.name, shop.folder)
  expect(deployed.status).toBe(1)
  expect(deployed.stderr).toMatch(/failed at step verify: generation 1 has been draining for .*; \[admission\] max_draining is 1\. Generation 2, release \S+, serves on\.\nTry: wait for them \(.*\); or holdfast deploy drains-\S+ \S+ --no-admission; or change/)
  const planned = await holdfast('deploy', shop.name, shop.folder, '--dry-run')
  expect([planned.status, planned.stderr]).toEqual([2, expect.stringMatching(/max_draining is 1\nTry: /)])
  expect((await recorded(shop)).generation).toBe(2)
  expectSuccess(await holdfast('deploy', shop.name, shop.folder, '--no-admission'))
  expect((await ask(shop)).generation).toBe('3')

  for (const words of [[], ['--dry-run']]) {
    const back = await holdfast('rollback', shop.name, ...words)
    expect([back.status, back.stderr]).toEqual([2, expect.stringMatching(/max_draining is 1\nTry: wait for them \(.*\); or holdfast rollback drains-\S+ --no-admission; or change/)])
  }
  expectSuccess(await holdfast('rollback', shop.name, '--dry-run', '--no-admission'))

  await setAdmission(shop, 'max_drain_age = "1s"')
  await waitFor('the drain is older', async () => {
    const said = (await systemctl('show', '--timestamp=unix', '--property=ActiveExitTimestamp', '--value', `${shop.name}@1.1.service`)).stdout.trim()
    return Date.now() - Number(said.slice(1)) * 1000 > 2_000 || undefined
  })
  expect(await refused(shop)).toMatch(/^generation 1 has been draining for \d+ s; \[admission\] max_drain_age is 1 s\n/)

  const answer = once(upload, 'response') as Promise<[http.IncomingMessage]>
  upload.end('ab')
  expect((await answer)[0].statusCode).toBe(201)
  await waitFor('the drain has ended', async () => (await activeState(`${shop.name}@1.1.service`)) === 'inactive' || undefined)
  expectSuccess(await systemctl('restart', shop.name))
  expect((await ask(shop)).generation).toBe('4')
})
