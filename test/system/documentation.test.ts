import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startTraffic } from '../traffic/index.js'
import { checkout, expectSuccess, freePort, holdfast, journal, makeApp, mustRun, root, systemctl, uniqueApp, waitFor, type TestApp } from './harness.js'

const page = await readFile(join(root, 'docs/runtime.md'), 'utf8')

/** The code of docs/runtime.md that holds this text, changed by the replacements, each of which must apply. */
function exampleWith(text: string, replacements: Record<string, string> = {}): string {
  const code = [...page.matchAll(/^```(?:js|python)\n([\s\S]*?)^```$/gm)].map(([, block]) => block as string).find((block) => block.includes(text))
  if (code === undefined) throw new Error(`docs/runtime.md has no example with ${text}`)
  return Object.entries(replacements).reduce((changed, [from, to]) => {
    if (!changed.includes(from)) throw new Error(`the example has no ${from}`)
    return changed.replace(from, to)
  }, code)
}

async function install(prefix: string, command: string[], files: Record<string, string>): Promise<TestApp & { address: string }> {
  const address = `127.0.0.1:${await freePort()}`
  const app = await makeApp({
    name: uniqueApp(prefix),
    files: { 'package.json': '{"type":"module"}', ...files },
    config: `command = ${JSON.stringify(command)}\n[start]\nsettle = "500ms"\n[listen]\nhttp = "${address}"\n`,
  })
  expectSuccess(await holdfast('install', app.config))
  return { ...app, address }
}

it('level 0: the server in Node loses no request', async () => {
  const target = `import { makeTarget } from ${JSON.stringify(join(checkout, 'test/traffic/target.js'))}\n`
  const code = (release: string): string =>
    target + exampleWith('systemd-notify', {
      "(request, response) => response.end('release 1\\n')": `makeTarget({ release: '${release}', generation: process.env.HOLDFAST_GENERATION })`,
    })
  const app = await install('nodezero', ['node', 'server.js'], { 'server.js': code('1') })
  const traffic = startTraffic({ address: app.address })
  await traffic.until(100)
  for (let n = 2; n <= 5; n += 1) {
    await app.write({ 'server.js': code(String(n)) })
    expectSuccess(await systemctl('restart', app.name))
    await traffic.until((ledger) => ledger.byRelease()[n] !== undefined)
  }
  const ledger = await traffic.stop()
  expect(ledger.failures.slice(0, 10)).toEqual([])
})

it('level 0: the server in Python loses no request', async () => {
  const code = (release: string): string => exampleWith('SD_LISTEN_FDS_START', { 'release 1': `release ${release}` })
  const app = await install('pythonzero', ['python3', 'server.py'], { 'server.py': code('1') })
  const answers = new Map<string, number>()
  let going = true
  const client = async (): Promise<void> => {
    while (going) {
      const answer = await fetch(`http://${app.address}/`, { headers: { connection: 'close' } }).then((response) => response.text()).catch((error: Error) => String(error.cause ?? error))
      answers.set(answer.trim(), (answers.get(answer.trim()) ?? 0) + 1)
    }
  }
  const clients = Array.from({ length: 8 }, client)
  for (let n = 2; n <= 5; n += 1) {
    await app.write({ 'server.py': code(String(n)) })
    expectSuccess(await systemctl('restart', app.name))
    await waitFor('the new release answers', () => answers.has(`release ${n}`))
  }
  going = false
  await Promise.all(clients)
  expect([...answers.keys()].toSorted()).toEqual(['release 1', 'release 2', 'release 3', 'release 4', 'release 5'])
})

it('level 2: the library', async () => {
  const runtime = join(checkout, 'dist/runtime/index.js')
  const app = await install('library', ['node', 'server.js'], { 'server.js': exampleWith('orderNumber', { "'holdfast'": JSON.stringify(runtime) }) })
  const answer = await (await fetch(`http://${app.address}/`, { headers: { connection: 'close' } })).text()
  expect(answer).toMatch(/^order 1, release \d{8}-\d{6}-[0-9a-f]{6}\n$/)
  expectSuccess(await systemctl('restart', app.name))
  await waitFor('the old one has ended', async () => (await journal(app.name)).includes('drained in'))
  expect(await journal(app.name)).toContain('counting up')
  expect(await mustRun('journalctl', ['-q', '-o', 'cat', 'ORDER_NUMBER=1', `HOLDFAST_APP=${app.name}`])).toBe('order taken\n')
})
