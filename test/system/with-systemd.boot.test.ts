import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { canaryOf, mounts, startGuest, startGuestWith, stateFolder, withSystemd, type Guest } from './guest.js'
import { mustRun, run, waitFor } from './run.js'

let mountsBefore = ''
beforeEach(() => {
  mountsBefore = mounts()
})
afterEach(() => expect(mounts()).toBe(mountsBefore))

/** Boots, runs a shell script inside, and expects nothing to be left. */
async function boot(options: string[], script: string, env: Record<string, string> = {}) {
  const guest = startGuestWith(env, ...options, '--', 'sh', '-c', script)
  const result = await guest.ended
  expect(guest.leftovers()).toEqual([])
  return result
}

/** A guest whose command has said "here" and sleeps. */
async function sleepingGuest(...options: string[]): Promise<Guest> {
  const guest = startGuest(...options, '--', 'sh', '-c', 'echo here; exec sleep 1000')
  await waitFor('the command runs', () => guest.stdout().includes('here'), { timeoutMs: 30_000 })
  return guest
}

describe('the command', () => {
  test.each([
    ['true', 0],
    ['exit 3', 3],
    ['kill -TERM $$', 143],
    ['kill -KILL $$', 137],
    ['nosuchcommand', 127],
  ])('%s ends with-systemd with %i', async (script, status) => {
    expect((await boot([], script)).status).toBe(status)
  })

  test('runs in the working directory, with standard input, output and the environment', async () => {
    const text = await mustRun(withSystemd, ['--', 'sh', '-c', 'pwd; cat; echo $COLOUR; cat /proc/1/comm'], {
      input: 'from outside\n',
      cwd: import.meta.dirname,
      env: { COLOUR: 'green' },
    })
    expect(text).toBe(`${import.meta.dirname}\nfrom outside\ngreen\nsystemd\n`)
  })

  test('boots quickly', async () => {
    const { status, stderr } = await boot(['--verbose'], 'true')
    expect(status).toBe(0)
    const up = /(\d+) ms: systemd is running/.exec(stderr)?.[1]
    expect(up).toBeDefined()
    // A busy machine makes no failure; the limit is in the reader's eye.
    console.log(`systemd was up after ${up} ms`)
  })
})

describe('isolation', () => {
  test('refuses to boot where a file of the machine’s /tmp can be seen', async () => {
    const { status, stdout, stderr } = await boot([], 'echo booted', { WITH_SYSTEMD_BROKEN: 'tmp' })
    expect(status).toBe(125)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/refused to boot: \/tmp\/with-systemd-canary\.\d+, a file of this machine, is visible inside/)
  })

  test.each(['/etc', '/tmp', '/run/lock', '/usr/lib', '/'])('refuses to share %s', async (path) => {
    const { status, stderr } = await boot(['--share', path], 'true')
    expect(status).toBe(125)
    expect(stderr).toContain(`--share ${path}: the guest needs its own`)
  })

  test('what is done inside stays inside, but below a --share', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-outside-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    writeFileSync(join(folder, 'old'), 'old')
    const shared = mkdtempSync(join(tmpdir(), 'holdfast-shared-'))
    onTestFinished(() => rmSync(shared, { recursive: true, force: true }))
    const name = `holdfast-inside-${process.pid}`
    const files = ['/etc', '/var/lib', '/usr/local/lib', '/srv', '/run', '/tmp', '/dev/shm', import.meta.dirname].map((dir) => join(dir, name))
    const { status, stderr } = await boot(
      ['--share', shared],
      `set -e; [ ! -e ${folder} ]; rm -rf /tmp/holdfast-*/old; for file in ${files.join(' ')}; do echo x > $file; done; echo y > ${shared}/new`,
    )
    expect(stderr).toBe('')
    expect(status).toBe(0)
    expect(files.filter((file) => existsSync(file))).toEqual([])
    expect(readdirSync(folder)).toEqual(['old'])
    expect(readFileSync(join(shared, 'new'), 'utf8')).toBe('y\n')
  })

  test('a folder can be shown read-only at another place', async () => {
    const { status, stdout } = await boot(['--ro', `${import.meta.dirname}:/opt/tests`], 'ls /opt/tests; touch /opt/tests/x 2>/dev/null || echo read-only')
    expect(status).toBe(0)
    expect(stdout).toContain('with-systemd.boot.test.ts')
    expect(stdout).toContain('read-only')
  })
})

describe('nothing is left', () => {
  test('of what the command leaves running', async () => {
    expect((await boot([], 'setsid sleep 1000 & systemd-run --quiet sleep 1000; exit 5')).status).toBe(5)
  })

  test('after Ctrl-C', async () => {
    const guest = await sleepingGuest()
    guest.killGroup('SIGINT')
    expect((await guest.ended).status).toBe(130)
    expect(guest.leftovers()).toEqual([])
  })

  test('after SIGTERM, which the command gets', async () => {
    const guest = startGuest('--', 'sh', '-c', 'trap "echo told; exit 7" TERM; echo here; while :; do sleep 0.05; done')
    await waitFor('the command runs', () => guest.stdout().includes('here'), { timeoutMs: 30_000 })
    guest.kill('SIGTERM')
    expect(await guest.ended).toMatchObject({ status: 7, stdout: 'here\ntold\n' })
    expect(guest.leftovers()).toEqual([])
  })

  test('after kill -9 of with-systemd', async () => {
    const guest = await sleepingGuest()
    expect(guest.leftovers()).not.toEqual([])
    guest.kill('SIGKILL')
    await guest.ended
    await waitFor('all is gone', () => guest.leftovers().length === 0)
  })

  test.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('after %s while it boots', async (signal) => {
    const guest = startGuest('--', 'sh', '-c', 'sleep 1000')
    await waitFor('it boots', () => existsSync(canaryOf(guest)), { everyMs: 2 })
    if (signal === 'SIGINT') guest.killGroup(signal) // as a terminal does
    else guest.kill(signal)
    expect((await guest.ended).status).toBe({ SIGINT: 130, SIGTERM: 143, SIGKILL: 137 }[signal])
    await waitFor('all is gone', () => guest.leftovers().length === 0)
  })

  test('of a guest that was kept, once it is told to go', async () => {
    const kept = startGuest('--keep', '--', 'true')
    const { status, stderr } = await kept.ended
    expect(status).toBe(0)
    const [, init, name] = /process 1 is (\d+)\..* --down (\S+)/.exec(stderr) ?? []
    expect(name).toBe(`with-systemd.${kept.pid}`)
    expect(await mustRun('nsenter', ['-t', `${init}`, '-a', 'systemctl', 'is-system-running'])).toBe('running\n')
    await mustRun(withSystemd, ['--down', `${name}`])
    expect(kept.leftovers()).toEqual([])
    expect((await run(withSystemd, ['--down', `${name}`])).status).toBe(125)
  })
})

describe('a state that is kept', () => {
  const unit = `[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo started >> /var/lib/seen'
[Install]
WantedBy=multi-user.target
`

  test('shows at the next boot: files, enabled units, the journal, the machine’s identity; and a new boot id', async () => {
    const state = stateFolder()
    const look = 'cat /etc/machine-id; cat /proc/sys/kernel/random/boot_id'
    const first = await boot(['--state', state], `set -e
      ${look}
      echo kept > /etc/kept; echo kept > /var/lib/kept; echo kept > /srv/kept; rm /etc/hostname
      printf '%s' "$UNIT" > /etc/systemd/system/seen.service
      systemctl enable --quiet seen
      echo remembered | systemd-cat -t memory
      journalctl --sync`, { UNIT: unit })
    expect(first).toMatchObject({ status: 0, stderr: '' })
    const second = await boot(['--state', state], `${look}
      cat /etc/kept /var/lib/kept /srv/kept /var/lib/seen; [ -e /etc/hostname ] || echo deleted
      journalctl --output=cat -t memory`)
    const [machineId, bootId] = first.stdout.split('\n')
    const [machineIdAgain, bootIdAgain, ...rest] = second.stdout.trim().split('\n')
    expect(machineIdAgain).toBe(machineId)
    expect(bootIdAgain).not.toBe(bootId)
    expect(rest).toEqual(['kept', 'kept', 'kept', 'started', 'deleted', 'remembered'])
  })

  test.each([
    ['a reboot', 'systemctl reboot; exec sleep 1000'],
    ['a reboot that the command does not wait for', 'systemctl reboot'],
    ['a poweroff', 'systemctl poweroff; exec sleep 1000'],
  ])('outlives %s, in which units are stopped in order', async (_, script) => {
    const state = stateFolder()
    const result = await boot(['--state', state], `systemd-run --quiet -p ExecStop='touch /var/lib/stopped' sleep 1000; touch /etc/kept; ${script}`)
    expect(result.status).toBe(137)
    expect(result.stderr).toContain('the systemd inside has ended')
    expect((await boot(['--state', state], 'ls /etc/kept /var/lib/stopped')).stdout).toBe('/etc/kept\n/var/lib/stopped\n')
  })

  test('outlives a pulled plug: no unit is stopped', async () => {
    const state = stateFolder()
    const script = "systemd-run --quiet -p ExecStop='touch /var/lib/stopped' sleep 1000; touch /etc/kept; systemctl reboot -ff; exec sleep 1000"
    expect((await boot(['--state', state], script)).status).toBe(137)
    expect((await boot(['--state', state], 'ls /etc/kept /var/lib/stopped')).stdout).toBe('/etc/kept\n')
  })

  test('outlives a kill -9 of the guest’s process 1', async () => {
    const state = stateFolder()
    const guest = startGuest('--verbose', '--state', state, '--', 'sh', '-c', 'touch /etc/kept; echo here; exec sleep 1000')
    await waitFor('the command runs', () => guest.stdout().includes('here'), { timeoutMs: 30_000 })
    process.kill(Number(/process 1 is (\d+)/.exec(guest.stderr())?.[1]), 'SIGKILL')
    expect((await guest.ended).status).toBe(137)
    expect(guest.leftovers()).toEqual([])
    expect((await boot(['--state', state], 'ls /etc/kept')).stdout).toBe('/etc/kept\n')
  })

  test('has one user at a time', async () => {
    const state = stateFolder()
    const guest = await sleepingGuest('--state', state)
    const second = await boot(['--state', state], 'true')
    expect(second).toMatchObject({ status: 125, stderr: expect.stringContaining('in use by another') as string })
    guest.killGroup('SIGINT')
    await guest.ended
  })

  test('can be shut down in order at the end', async () => {
    const state = stateFolder()
    const script = "systemd-run --quiet -p ExecStop='touch /var/lib/stopped' sleep 1000"
    expect((await boot(['--state', state, '--stop-timeout', '20'], script)).status).toBe(0)
    expect((await boot(['--state', state], 'ls /var/lib/stopped')).status).toBe(0)
  })
})

describe('bad input ends with 125 and says what is wrong', () => {
  test.each([
    [['--'], 'COMMAND is missing'],
    [['--nosuch', '--', 'true'], 'there is no option --nosuch'],
    [['--timeout', 'soon', '--', 'true'], "--timeout takes whole seconds, not 'soon'"],
    [['--rootfs', '/nosuch', '--', 'true'], 'there is no /nosuch'],
    [['--rootfs', '/srv', '--', 'true'], 'there is no systemd in /srv'],
    [['--state'], '--state needs a value'],
    [['--down', 'nosuch'], 'there is no with-systemd.nosuch'],
  ])('%j', async (args, message) => {
    const result = await run(withSystemd, args)
    expect(result).toMatchObject({ status: 125, stderr: expect.stringContaining(message) as string })
  })
})
