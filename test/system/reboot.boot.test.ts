/** A plug that is pulled in the middle of a handover: the machine comes back with the good release. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'

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
