import { createRequire } from 'node:module'
import { expect, it } from 'vitest'
import { join } from 'node:path'
import { makeInstalledApp } from './deploys.js'
import { root } from './harness.js'
import { Terminal } from './terminal.js'
import { setTimeout as delay } from 'node:timers/promises'

const require = createRequire(import.meta.url)
const cli = `${process.execPath} ${join(root, 'dist/cli/main.js')}`

it('explores', async () => {
  const app = await makeInstalledApp('watch')
  await app.deploy(await app.tree('1'))
  const terminal = new Terminal(`${cli} status ${app.name} --watch`, { columns: 80, rows: 24 })
  await terminal.shows('live')
  await delay(3000)
  console.log(terminal.screen.text())
  const cpu = () => { const pid = terminal.pidOf('main.js'); return require('node:fs').readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ').slice(13, 17).join(' ') }
  const a = cpu(); await delay(10_000); console.log('ticks self utime stime cutime cstime', a, '->', cpu())
  await terminal.resize({ columns: 200, rows: 50 })
  await delay(1500)
  console.log(terminal.screen.text())
  terminal.type('q')
  console.log(await terminal.end())
}, 60_000)
