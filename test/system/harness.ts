/**
 * What system tests share. They run inside the private systemd of scripts/with-systemd, one file after
 * the other; every test uses its own app name and addresses, and leaves nothing running.
 */
import { existsSync } from 'node:fs'
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { expect, onTestFailed, onTestFinished } from 'vitest'
import { mustRun, root, run, type Result } from './run.js'

export { mustRun, root, run, waitFor, type Result, type RunOptions } from './run.js'

/**
 * The project's folder where an app in its sandbox can read it: a checkout below /tmp, /home or /root is hidden from one.
 * scripts/test shows it there.
 */
export const checkout = existsSync('/opt/holdfast') ? '/opt/holdfast' : root

/** The preload module of the built runtime, for `node --import`. */
export const registerModule = join(checkout, 'dist/runtime/register.js')

/** The version of the systemd that the tests run under, such as 252. */
export const systemdVersion = Number(process.env['WITH_SYSTEMD'])

// Elsewhere these tests would start and stop units of the machine that they run on.
if (!process.env['WITH_SYSTEMD']) {
  throw new Error('system tests run inside a private systemd only: scripts/test system')
}

export const systemctl = (...args: string[]): Promise<Result> => run('systemctl', args)

/** The built command-line program, as users run it. */
export const holdfast = (...args: string[]): Promise<Result> =>
  run(process.execPath, [join(root, 'dist/cli/main.js'), ...args])

/** Properties of a unit as `systemctl show` prints them: `(await show('a.service', 'MainPID'))['MainPID']`. */
export async function show<P extends string>(unit: string, ...properties: P[]): Promise<Record<P, string>> {
  const text = await mustRun('systemctl', ['show', `--property=${properties.join(',')}`, '--', unit])
  const values = Object.fromEntries(properties.map((property) => [property, ''])) as Record<P, string>
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=')
    if (equals > 0) values[line.slice(0, equals) as P] = line.slice(equals + 1)
  }
  return values
}

/** `active`, `inactive`, `failed` …; also for units that do not exist (`inactive`). */
export const activeState = async (unit: string): Promise<string> => (await show(unit, 'ActiveState')).ActiveState

/** The names of all loaded units that match, such as `shop@*`, that are in one of these states (all: none given). */
export async function units(pattern: string, ...states: string[]): Promise<string[]> {
  const filter = states.length > 0 ? [`--state=${states.join(',')}`] : ['--all']
  const text = await mustRun('systemctl', ['list-units', '--plain', '--no-legend', '--full', ...filter, '--', pattern])
  return text.split('\n').flatMap((line) => line.split(/\s+/, 1)).filter((name) => name !== '')
}

/** Everything that the app's units and the handover wrote, oldest first. */
export async function journal(app: string, ...options: string[]): Promise<string> {
  await run('journalctl', ['--sync'])
  const units = [app, `${app}@*`, `${app}-*`].flatMap((unit) => ['--unit', unit])
  return (await run('journalctl', ['--no-pager', '--output=short-precise', ...units, ...options])).stdout
}

let names = 0

/** An app name that no other test uses: `load-1a-2`. Each file is a process of its own. */
export const uniqueApp = (prefix: string): string => `${prefix}-${process.pid.toString(36)}-${++names}`

/** A TCP port on the loopback that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolvePort, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolvePort(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

export interface AppSource {
  /** From uniqueApp(). */
  name: string
  /** Path below the app's folder to contents; a text that starts with `#!` becomes executable. */
  files?: Record<string, string>
  /** The text of holdfast.toml; `app` and `directory` are put in front of it unless it sets them. */
  config: string
  /** `deploy`: its holdfast.toml gets no `directory`. Default `folder`. */
  releasesBy?: 'folder' | 'deploy'
}

export interface TestApp {
  name: string
  /** The source folder, /srv/<name>. */
  folder: string
  /** The path of its holdfast.toml. */
  config: string
  /** Writes files of the source folder, such as the next version's server.js. */
  write(files: Record<string, string>): Promise<void>
}

/** Writes an app's source folder. When the test ends, the app is stopped and uninstalled; when it failed, its journal is shown. */
export async function makeApp({ name, files = {}, config, releasesBy = 'folder' }: AppSource): Promise<TestApp> {
  const folder = join('/srv', name)
  const write = async (sources: Record<string, string>) => {
    for (const [path, text] of Object.entries(sources)) {
      const file = join(folder, path)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, text)
      if (text.startsWith('#!')) await chmod(file, 0o755)
    }
  }
  // Keys at the top of the file, before its first table.
  const head = [
    ...(/^app\s*=/m.test(config) ? [] : [`app = ${JSON.stringify(name)}`]),
    ...(releasesBy === 'deploy' || /^directory\s*=/m.test(config) ? [] : [`directory = ${JSON.stringify(folder)}`]),
  ]
  // DynamicUser= has to read it.
  await mkdir(folder, { recursive: true, mode: 0o755 })
  await write({ ...files, 'holdfast.toml': [...head, config].join('\n') })

  onTestFailed(async () => console.error(`--- the journal of ${name} ---\n${await journal(name)}`))
  onTestFinished(async () => {
    await removeApp(name)
    await rm(folder, { recursive: true, force: true })
  }, 60_000)
  return { name, folder, config: join(folder, 'holdfast.toml'), write }
}

/** Stops and uninstalls an app in whatever state it is, so that the next test starts from nothing. */
export async function removeApp(name: string): Promise<void> {
  const all = [`${name}.service`, `${name}@*`, `${name}-*`]
  await systemctl('stop', '--no-block', ...all)
  // A test's drains may be long; its end is not the place to wait for them.
  await systemctl('kill', '--signal=SIGKILL', `${name}@*`)
  await systemctl('stop', ...all)
  await holdfast('uninstall', name)
  await systemctl('reset-failed', ...all)
}

/** Expects a program's success, with its output in the failure. */
export function expectSuccess(result: Result): void {
  expect(result.status, `${result.stdout}${result.stderr}`).toBe(0)
}
