import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { makeShop, type Shop } from './apps.js'
import { expectSuccess, holdfast, mustRun, registerModule, root, run, systemctl, units, waitFor } from './harness.js'

const cli = join(root, 'dist/cli/main.js')

async function installed(prefix: string, config = ''): Promise<Shop> {
  const shop = await makeShop(prefix, { config: `${config}\n[start]\nsettle = "200ms"` })
  expectSuccess(await holdfast('install', shop.config))
  return shop
}

const says = async (shop: Shop, ...command: string[]): Promise<string> => {
  const result = await holdfast('run', shop.name, '--', ...command)
  expectSuccess(result)
  return result.stdout
}

it('gives a command the live release’s code, environment, user, data and sandbox', async () => {
  const secrets = '/etc/run-test.env'
  await writeFile(secrets, 'SECRET="s3 cr\\$et"\n', { mode: 0o600 })
  onTestFinished(() => rm(secrets))
  const shop = await installed('run', `env_file = "${secrets}"\ndata = true\nenv = { GREETING = 'a "b" $HOME %i \\ é' }`)
  const unit = `${shop.name}@1.1.service`
  await shop.release('not live yet')

  expect(await says(shop, 'sh', '-c', 'grep -o \'release: "[^"]*"\' server.js')).toBe('release: "1"\n')
  const environment = await says(shop, 'env')
  expect(environment).toContain('GREETING=a "b" $HOME %i \\ é\n')
  expect(environment).toContain('SECRET=s3 cr$et\n')
  expect(environment).toContain(`PORT=${shop.port}\n`)
  expect(environment).toContain(`HOLDFAST_APP=${shop.name}\nHOLDFAST_RELEASE=`.split('\n')[0])
  expect(environment).toMatch(/^HOLDFAST_RELEASE=\d{8}-/m)
  expect(environment).not.toMatch(/^(HOLDFAST_(INSTANCE|GENERATION|LISTEN|DRAIN)|LISTEN_|NOTIFY_SOCKET|WATCHDOG)/m)

  // The very user of the instance, and its data.
  const pid = (await mustRun('systemctl', ['show', '-P', 'MainPID', unit])).trim()
  const uid = /^Uid:\s+(\d+)/m.exec(await mustRun('cat', [`/proc/${pid}/status`]))?.[1]
  expect((await says(shop, 'id', '-u')).trim()).toBe(uid)
  await says(shop, 'sh', '-c', 'echo kept > "$STATE_DIRECTORY/note"')
  expect(await says(shop, 'sh', '-c', 'cat "$STATE_DIRECTORY/note"')).toBe('kept\n')

  // The sandbox of the instance.
  const own = await says(shop, 'cat', '/proc/self/status')
  const theirs = await mustRun('cat', [`/proc/${pid}/status`])
  for (const field of ['CapBnd', 'CapEff', 'NoNewPrivs', 'Seccomp']) {
    const pattern = new RegExp(`^${field}:.*$`, 'm')
    expect(pattern.exec(own)?.[0]).toBe(pattern.exec(theirs)?.[0])
  }
  expect((await holdfast('run', shop.name, '--', 'touch', '/etc/x')).stderr).toContain('Read-only file system')
  expect((await holdfast('run', shop.name, '--', 'ls', '/root')).status).not.toBe(0)

  // node is the one of the units; the runtime does not take the command for an instance.
  expect(await says(shop, 'node', '--import', registerModule, '-e', 'console.log(process.execPath)')).toBe(`${process.execPath}\n`)
})

it('passes every argument on as it is, and standard input', async () => {
  const shop = await installed('args')
  const words = ['$HOME', '${HOME}', 'a$$b', '%i', '%%', 'q"x', "q'y", 'b\\n', '', 'é', '--', '-x', 'two words', '$@']
  expect(await says(shop, 'printf', '<%s>\n', ...words)).toBe(words.map((word) => `<${word}>\n`).join(''))
  const { stdout } = await run(process.execPath, [cli, 'run', shop.name, 'cat'], { input: 'hello\n' })
  expect(stdout).toBe('hello\n')
})

it('ends with the command’s status', async () => {
  const shop = await installed('exit')
  const statusOf = async (...command: string[]): Promise<number> => (await holdfast('run', shop.name, '--', ...command)).status
  expect(await statusOf('true')).toBe(0)
  expect(await statusOf('sh', '-c', 'exit 7')).toBe(7)
  expect(await statusOf('sh', '-c', 'kill -TERM $$')).toBe(143)
  expect(await statusOf('sh', '-c', 'kill -KILL $$')).toBe(137)
  expect(await statusOf('no-such-program')).toBe(127)
  const terminal = await run('script', ['-qec', `${process.execPath} ${cli} run ${shop.name} -- sh -c 'tty; exit 5'`, '/dev/null'])
  expect(terminal.stdout).toContain('/dev/pts/')
  expect(terminal.status).toBe(5)
  expect(await units('holdfast-run-*')).toEqual([])
})

it('Ctrl-C ends the command, a stubborn one with the second', async () => {
  const shop = await installed('interrupt')
  for (const [trap, times, status] of [['', 1, 130], ['trap "" INT; ', 2, 143]] as const) {
    const child = spawn(process.execPath, [cli, 'run', shop.name, '--', 'sh', '-c', `${trap}echo begun; sleep 60`])
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
    await waitFor('the command has begun', () => said.includes('begun'))
    const exit = once(child, 'exit')
    for (let n = 1; n <= times; n += 1) {
      child.kill('SIGINT')
      // Two at once are one.
      if (n < times) await new Promise((resolve) => setTimeout(resolve, 300))
    }
    expect(await exit).toEqual([status, null])
    await waitFor('nothing of it is left', async () => (await units('holdfast-run-*')).length === 0)
  }
})

it('follows the admin’s drop-ins, says why systemd gave up, and shows what it would run', async () => {
  const shop = await installed('dropin')
  const dropIn = `/etc/systemd/system/${shop.name}@.service.d/own.conf`
  const hidden = `/srv/${shop.name}-hidden`
  await mkdir(join(dropIn, '..'), { recursive: true })
  await mkdir(hidden)
  onTestFinished(async () => {
    await rm(hidden, { recursive: true, force: true })
    await rm(join(dropIn, '..'), { recursive: true })
    await systemctl('daemon-reload')
  })
  await writeFile(dropIn, `[Service]\nEnvironment="ADMIN=x %%n" B=%i\nReadWritePaths=/var/tmp \\\n  ${hidden}\n`)
  await systemctl('daemon-reload')
  expect(await says(shop, 'sh', '-c', 'echo $ADMIN $B')).toBe('x %n 1.1\n')

  await rm(hidden, { recursive: true })
  const { status, stderr } = await holdfast('run', shop.name, '--', 'true')
  expect(status).toBe(226)
  expect(stderr).toContain('its sandbox could not be set up (226/NAMESPACE)')

  const dry = await holdfast('run', '--dry-run', shop.name, '--', 'node', '-e', 'a b')
  expect(dry.stdout).toMatch(/^systemd-run --quiet --collect --wait --pipe --unit=holdfast-run-.* holdfast node -e 'a b'\n$/)
})

it('says what is wrong with the command line, and that nothing is live', async () => {
  const shop = await makeShop('nolive', { config: '' })
  await mustRun('sed', ['-i', '/^directory/d', shop.config])
  await chmod(shop.config, 0o644)
  expectSuccess(await holdfast('install', shop.config))
  expect(await holdfast('run', shop.name, '--', 'true')).toMatchObject({ status: 2, stderr: expect.stringContaining('has no live release yet') })
  expect(await holdfast('run', shop.name)).toMatchObject({ status: 2, stderr: expect.stringContaining('there is no command to run') })
  expect(await holdfast('run', shop.name, '--bogus', 'true')).toMatchObject({ status: 2, stderr: expect.stringContaining('unknown option --bogus') })
})
