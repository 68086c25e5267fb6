/** A plug that is pulled in the middle of a handover: the machine comes back with the good release. And one that is shut down in order, in time. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'

const root = resolve(import.meta.dirname, '../..')

/** Boots a guest with a state that lasts, and runs a script inside. */
function boot(state: string, script: string): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(join(root, 'scripts/with-systemd'), ['--state', state, '--ro', `${root}:/opt/holdfast`, '--', 'bash', '-euc', script], {
    cwd: root, encoding: 'utf8', timeout: 60_000,
  })
  return { status, output: `${stdout}${stderr}` }
}

const install = `
mkdir -p /srv/reboot
cat > /srv/reboot/holdfast.toml <<.
app = "reboot"
command = ["node", "--import", "/opt/holdfast/dist/runtime/register.js", "server.js"]
directory = "/srv/reboot"
[listen]
http = "127.0.0.1:7480"
[start]
settle = "1s"
.
echo "require('http').createServer((q, r) => r.end('release 1')).listen(7480)" > /srv/reboot/server.js
node dist/cli/main.js install /srv/reboot/holdfast.toml
curl -sS 127.0.0.1:7480
`

/** Waits for a unit's state, then pulls the plug. */
const pullPlugWhen = (unit: string, state: string): string => `
for i in $(seq 400); do [ "$(systemctl show -P ActiveState ${unit})" = ${state} ] && systemctl reboot -ff; sleep 0.02; done
echo "${unit} was never ${state}"
`

it.each([
  ['starting', 'activating', "setTimeout(() => require('http').createServer((q, r) => r.end('release 2')).listen(7480), 2000)"],
  ['settling', 'active', "require('http').createServer((q, r) => r.end('release 2')).listen(7480)"],
])('while the new generation is %s', { timeout: 120_000 }, (_, state, server) => {
  const folder = mkdtempSync('/var/tmp/holdfast-reboot-')
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const first = boot(folder, install)
  expect(first.output).toContain('release 1')
  expect(first.status).toBe(0)

  const pulled = boot(
    folder,
    `curl -sS --retry 20 --retry-connrefused 127.0.0.1:7480
     cat > /srv/reboot/server.js <<'.'
${server}
.
     systemctl restart --no-block reboot
     ${pullPlugWhen('reboot@3.1.service', state)}`,
  )
  expect(pulled.output).toContain('release 1') // what the boot brought up, as generation 2
  expect(pulled.status).toBe(137)

  const after = boot(
    folder,
    `curl -sS --retry 20 --retry-connrefused 127.0.0.1:7480; echo
     cat /var/lib/holdfast/reboot/state.json
     systemctl restart reboot; curl -sS 127.0.0.1:7480; echo; ls /var/lib/holdfast/reboot/releases
     node dist/cli/main.js uninstall reboot`,
  )
  expect(after.output).toMatch(/^release 1\n/)
  expect(after.output).toContain('release 2')
  expect(after.output).not.toMatch(/\.new$/m)
  expect(after.status, after.output).toBe(0)
})

/** Installs an app that never ends by itself, which says why it is stopped, and keeps the journal. */
const installStubborn = `
mkdir -p /var/log/journal /srv/stubborn
journalctl --flush
cat > /srv/stubborn/holdfast.toml <<.
app = "stubborn"
command = ["node", "server.js"]
directory = "/srv/stubborn"
[listen]
http = "127.0.0.1:7481"
[start]
settle = "200ms"
[drain]
timeout = "15min"
shutdown_timeout = "3s"
.
cat > /srv/stubborn/server.js <<'.'
const { readFileSync } = require('fs')
const why = () => { try { return readFileSync(process.env.HOLDFAST_STOP_FILE, 'utf8').trim() } catch (error) { return error.code } }
let said
process.on('SIGTERM', () => setInterval(() => { if (why() !== said) console.log(process.env.HOLDFAST_INSTANCE + ' stopped for ' + (said = why())) }, 50))
require('http').createServer((q, r) => r.end('stubborn')).listen({ fd: 3 })
require('child_process').execFileSync('systemd-notify', ['--ready'])
.
node dist/cli/main.js install /srv/stubborn/holdfast.toml
await() { for i in $(seq 200); do [ "$(systemctl show -P ActiveState $1)" = $2 ] && return; sleep 0.05; done; echo "$1 was never $2"; exit 1; }
says() { for i in $(seq 200); do journalctl --sync; journalctl -b -o cat | grep -q "$1" && return; sleep 0.05; done; echo "nobody said $1"; exit 1; }
systemctl restart stubborn
await stubborn@1.1.service deactivating
says '1.1 stopped for deploy'
`
const shutDown = 'echo "down at $(date +%s.%N)"; systemctl reboot; sleep 60'

describe('a shutdown of the machine waits for shutdown_timeout, and no longer,', () => {
  it.each([
    ['for what serves, and for what drains since a deploy', '', []],
    ['for a stop that is under way', 'systemctl stop --no-block stubborn stubborn-drain\nsays "2.1 stopped for stop"', ['2.1 stopped for stop']],
    [
      'where the unit of the drain has failed',
      'systemctl stop --no-block stubborn stubborn-drain\nsays "2.1 stopped for stop"\nsystemctl kill --signal=KILL stubborn-drain\nawait stubborn-drain.service failed',
      ['2.1 stopped for stop'],
    ],
  ])('%s', { timeout: 120_000 }, (_, before, said) => {
    const folder = mkdtempSync('/var/tmp/holdfast-shutdown-')
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const first = boot(folder, `${installStubborn}\n${before}\n${shutDown}`)
    const endedAt = Date.now() / 1000
    expect(first.status, first.output).toBe(137)
    const tookS = endedAt - Number(/^down at ([\d.]+)$/m.exec(first.output)?.[1])
    // 3 s, and 5 s for an app to log what it cuts.
    expect(tookS).toBeGreaterThan(8)
    expect(tookS).toBeLessThan(14)

    const after = boot(folder, `journalctl -b -1 -o cat --no-pager -u stubborn -u 'stubborn@*' -u 'stubborn-*'`)
    expect(after.status, after.output).toBe(0)
    for (const line of ['1.1 stopped for deploy', ...said, '1.1 stopped for shutdown', '2.1 stopped for shutdown']) expect(after.output).toContain(line)
    for (const unit of ['stubborn@1.1.service', 'stubborn@2.1.service']) {
      expect(after.output).toContain(`${unit} did not end within 3 s of the shutdown, and was killed.`)
    }
    expect(after.output).not.toContain('stop-sigterm\' timed out')
  })
})
