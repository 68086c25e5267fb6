/** A plug that is pulled in the middle of a deploy: the machine comes back with something good, and nothing is half done. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const state = '/var/lib/holdfast/reboot'

/** Boots a guest with a state that lasts, and runs a script inside. */
function boot(folder: string, script: string): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(join(root, 'scripts/with-systemd'), ['--state', folder, '--ro', `${root}:/opt/holdfast`, '--', 'bash', '-euc', `${words}\n${script}`], {
    cwd: root, encoding: 'utf8', timeout: 100_000,
  })
  return { status, output: `${stdout}${stderr}` }
}

/** What the scripts inside are written with. */
const words = `
holdfast() { node dist/cli/main.js "$@"; }
ask() { curl -sS --retry 40 --retry-delay 1 --retry-connrefused 127.0.0.1:7482; echo; }
await() { for i in $(seq 600); do if eval "$1"; then return; fi; sleep 0.02; done; echo "never: $1"; cat /tmp/events; exit 1; }
pull_plug() { systemctl reboot -ff; sleep 60; }
release() { # NAME HOOKS START-MS
  mkdir -p /srv/release-$1
  echo '{"version":"'$1'.0.0"}' > /srv/release-$1/package.json
  cat > /srv/release-$1/server.js <<.
const server = require('http').createServer((request, response) => request.url === '/hold' ? response.write('held') : response.end('release $1'))
setTimeout(() => server.listen(7482), \${3-0})
.
  { cat /srv/reboot/holdfast.toml; printf '[hooks]\\n%s\\n' "$2"; } > /srv/release-$1/holdfast.toml
}
truth() { # prints what is recorded, and fails where anything is half done
  node -e '
    const fs = require("fs"), { wanted, live, afterDrain } = JSON.parse(fs.readFileSync("${state}/state.json", "utf8"))
    const list = (folder) => fs.existsSync(folder) ? fs.readdirSync(folder) : []
    const faults = []
    if (wanted !== live.release) faults.push("wanted " + wanted + ", live " + live.release)
    const names = list("${state}/releases"), folders = names.filter((name) => !name.endsWith(".json"))
    for (const name of folders) if (!names.includes(name + ".json")) faults.push("no metadata of " + name)
    for (const name of names) if (name.endsWith(".json") && !folders.includes(name.slice(0, -5))) faults.push("no code of " + name)
    if (list("${state}/staging").length > 0) faults.push("staging: " + list("${state}/staging"))
    if (fs.existsSync("${state}/deploy.json")) faults.push("deploy.json")
    const history = fs.readFileSync("${state}/history.jsonl", "utf8").trim().split("\\n").map(JSON.parse)
    console.log("deploys: " + history.filter(({ kind }) => kind === "deploy").map(({ outcome, step }) => outcome + (step ? " in " + step : "")).join(", "))
    console.log("recorded: " + JSON.parse(fs.readFileSync("${state}/releases/" + live.release + ".json")).version + ", " + (afterDrain ? "after_drain waits" : "nothing waits"))
    console.log(faults.length === 0 ? "whole" : "FAULTS: " + faults.join("; "))'
}
`

const install = `
mkdir -p /srv/reboot
cat > /srv/reboot/holdfast.toml <<.
app = "reboot"
command = ["node", "--import", "/opt/holdfast/dist/runtime/register.js", "server.js"]
data = true
[listen]
http = "127.0.0.1:7482"
[start]
settle = "1s"
.
holdfast install /srv/reboot/holdfast.toml
release 1 ''
holdfast deploy reboot /srv/release-1
ask
`

function stateFolder(): string {
  const folder = mkdtempSync('/var/tmp/holdfast-reboot-')
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const began = (step: string): string => `grep -q '"step":"${step}","state":"began"' /tmp/events`
const isUp = (unit: string, states: string): string => `case ${states} in *" $(systemctl show -P ActiveState ${unit}) "*) true ;; *) false ;; esac`

it.each([
  ['in the install hook', `install = "sleep 60"`, 0, isUp('reboot-hook', '" active activating "'), ['1']],
  ['in the migration', `migrate = "sleep 60"`, 0, isUp('reboot-hook', '" active activating "'), ['1']],
  ['while it records the release', '', 0, began('record'), ['1', '2']],
  ['in the handover, before the new generation is ready', '', 2_000, isUp('reboot@3.1', '" activating "'), ['1', '2']],
])('%s', { timeout: 180_000 }, (_, hooks, startMs, moment, allowed) => {
  const folder = stateFolder()
  const first = boot(folder, install)
  expect(first.output).toContain('release 1')
  expect(first.status, first.output).toBe(0)

  const pulled = boot(folder, `
ask
release 2 '${hooks}' ${startMs}
holdfast deploy reboot /srv/release-2 --json > /tmp/events 2>&1 &
await '${moment.replaceAll("'", "'\\''")}'
pull_plug`)
  expect(pulled.output).toContain('release 1')
  expect(pulled.status, pulled.output).toBe(137)

  const after = boot(folder, `
echo "boot: $(ask)"
holdfast status reboot || true
holdfast apply reboot
echo "applied: $(ask)"
truth
release 3 ''
holdfast deploy reboot /srv/release-3
echo "deployed: $(ask)"
truth`)
  expect(after.status, after.output).toBe(0)
  const booted = /^boot: release (\d)$/m.exec(after.output)?.[1]
  expect(allowed, after.output).toContain(booted)
  expect(after.output).toContain(`applied: release ${booted}`)
  expect(after.output).toContain(`recorded: ${booted}.0.0, nothing waits`)
  expect(after.output).toContain('deployed: release 3')
  expect(after.output).not.toContain('FAULTS')
  expect(after.output.match(/^whole$/gm)).toHaveLength(2)
  expect(after.output).toMatch(/^deploys: live, (interrupted.*|live)$/m)
})

it('hooks.after_drain that waited runs after the boot, when nobody of the older release is left', { timeout: 180_000 }, () => {
  const folder = stateFolder()
  const ran = `${state}/data/contracted`
  const first = boot(folder, `${install}
release 2 'after_drain = "echo contracted >> $STATE_DIRECTORY/contracted"'
curl -sSN 127.0.0.1:7482/hold > /tmp/held &
await 'grep -q held /tmp/held'
holdfast deploy reboot /srv/release-2
ask
truth
test ! -e ${ran}
pull_plug`)
  expect(first.output).toContain('release 2')
  expect(first.output).toContain('recorded: 2.0.0, after_drain waits')
  expect(first.status, first.output).toBe(137)

  const after = boot(folder, `
ask
await 'test -s ${ran}'
await '! grep -q afterDrain ${state}/state.json'
truth
cat ${ran}
holdfast rollback reboot && echo rolled back || echo "refused: $?"`)
  expect(after.status, after.output).toBe(0)
  expect(after.output).toContain('release 2')
  expect(after.output).toContain('recorded: 2.0.0, nothing waits')
  expect(after.output.match(/^contracted$/gm)).toHaveLength(1)
  expect(after.output).toContain('refused: 2')
  expect(after.output).not.toContain('FAULTS')
})

it('a release that was held is discarded, and what was live comes back', { timeout: 180_000 }, () => {
  const folder = stateFolder()
  const first = boot(folder, `${install}
release 2 ''
holdfast deploy reboot /srv/release-2 --hold --expires 1h
grep -q '"held"' ${state}/state.json
ask
pull_plug`)
  expect(first.output).toContain('generation 2 waits for a promotion')
  expect(first.output).toMatch(/^release 1$/m)
  expect(first.status, first.output).toBe(137)

  const after = boot(folder, `
echo "boot: $(ask)"
await '! grep -q held ${state}/state.json'
systemctl list-units --all --plain --no-legend 'reboot@2.*' | grep . && exit 1
holdfast history reboot
holdfast promote reboot && echo promoted || echo "refused: $?"
truth
release 3 ''
holdfast deploy reboot /srv/release-3 --hold
holdfast promote reboot
echo "promoted: $(ask)"
truth`)
  expect(after.status, after.output).toBe(0)
  expect(after.output).toContain('boot: release 1')
  expect(after.output).toMatch(/abort .*aborted: nothing of it runs any more/)
  expect(after.output).toContain('refused: 2')
  expect(after.output).toContain('promoted: release 3')
  expect(after.output).not.toContain('FAULTS')
})
