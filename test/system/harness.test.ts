import { expect, test } from 'vitest'
import { activeState, freePort, journal, makeApp, mustRun, run, show, systemctl, systemdVersion, uniqueApp, units, waitFor } from './harness.js'

test('the tests run under a systemd of their own', async () => {
  expect((await systemctl('is-system-running')).stdout.trim()).toBe('running')
  expect(systemdVersion).toBeGreaterThanOrEqual(247)
  expect((await show('init.scope', 'ActiveState', 'Id'))).toEqual({ ActiveState: 'active', Id: 'init.scope' })
})

test('units are found, shown and waited for, and their journal is at hand', async () => {
  const app = uniqueApp('harness')
  await mustRun('systemd-run', ['--collect', `--unit=${app}@1.1`, 'sh', '-c', 'echo hello from it; exec sleep 100'])
  expect(await units(`${app}@*.service`, 'active')).toEqual([`${app}@1.1.service`])
  expect(await waitFor('its line', async () => (await journal(app)).includes('hello from it'))).toBe(true)
  await systemctl('stop', `${app}@1.1`)
  expect(await activeState(`${app}@1.1`)).toBe('inactive')
  expect(await units(`${app}@*.service`)).toEqual([])
})

test('what does not come true in time fails with its description', async () => {
  await expect(waitFor('pigs fly', () => false, { timeoutMs: 20, everyMs: 5 })).rejects.toThrow(/not within 20 ms: pigs fly/)
})

test('a signal that ends a program shows as a status, as in a shell', async () => {
  expect(await run('sh', ['-c', 'echo out; echo err >&2; kill -TERM $$'])).toEqual({ status: 143, stdout: 'out\n', stderr: 'err\n' })
})

test('an app’s folder gets a configuration that names it', async () => {
  const name = uniqueApp('folder')
  const port = await freePort()
  const app = await makeApp({ name, files: { 'bin/x': '#!/bin/sh\necho ran\n' }, config: `[listen]\nhttp = ${port}\n` })
  expect(await mustRun('cat', [app.config])).toBe(`app = "${name}"\ndirectory = "/srv/${name}"\n[listen]\nhttp = ${port}\n`)
  expect(await mustRun(`${app.folder}/bin/x`, [])).toBe('ran\n')
})

test('a dynamic user, credentials and a sandbox work', async () => {
  const script = 'id -u; ls "$CREDENTIALS_DIRECTORY"; ls /home | wc -l'
  const properties = ['DynamicUser=yes', 'LoadCredential=secret:/etc/hostname', 'ProtectHome=yes', 'PrivateUsers=yes', 'ProtectSystem=strict']
  const text = await mustRun('systemd-run', ['--pipe', '--wait', '--quiet', ...properties.flatMap((p) => ['-p', p]), 'sh', '-c', script])
  const [uid, ...rest] = text.trim().split('\n')
  expect(Number(uid)).toBeGreaterThan(60_000)
  expect(rest).toEqual(['secret', '0'])
})

test('a user’s own manager runs', async () => {
  const user = uniqueApp('user').slice(0, 20)
  await mustRun('useradd', ['--create-home', user])
  const uid = (await mustRun('id', ['-u', user])).trim()
  const gid = (await mustRun('id', ['-g', user])).trim()
  await mustRun('systemctl', ['start', `user@${uid}`])
  const text = await mustRun('setpriv', [
    '--reuid', uid, '--regid', gid, '--init-groups', 'systemctl', '--user', 'is-system-running', '--wait',
  ], { env: { XDG_RUNTIME_DIR: `/run/user/${uid}` } })
  expect(text.trim()).toBe('running')
  await mustRun('systemctl', ['stop', `user@${uid}`])
})

test('a message catalog can be installed', async () => {
  const id = 'f00dfeedf00dfeedf00dfeedf00dfeed'
  await mustRun('mkdir', ['-p', '/usr/local/lib/systemd/catalog'])
  await mustRun('tee', ['/usr/local/lib/systemd/catalog/harness.catalog'], { input: `-- ${id}\nSubject: Fed\n\nAll is well.\n` })
  await mustRun('journalctl', ['--update-catalog'])
  expect(await mustRun('journalctl', ['--list-catalog', id])).toContain('Fed')
})
