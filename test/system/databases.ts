/** A PostgreSQL and a Redis of a test's own: on a private port, with a new and empty data folder, run by an unprivileged user. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { freePort, mustRun, waitFor } from './harness.js'

/** nobody: PostgreSQL refuses to be run by root. */
const user = { uid: 65_534, gid: 65_534 }

/** Debian keeps each version's programs in a folder of its own, not in PATH. */
function postgresqlProgram(name: string): string {
  const folder = '/usr/lib/postgresql'
  const versions = existsSync(folder) ? readdirSync(folder).filter((version) => existsSync(join(folder, version, 'bin', name))) : []
  const newest = versions.sort((a, b) => Number(a) - Number(b)).at(-1)
  return newest === undefined ? name : join(folder, newest, 'bin', name)
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-database-'))
  await chown(folder, user.uid, user.gid)
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Runs a server until the test ends. */
async function serve(command: string, args: string[], cwd: string, answers: () => Promise<unknown>): Promise<void> {
  let output = ''
  const server = spawn(command, args, { ...user, cwd, env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' } })
  for (const stream of [server.stdout, server.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const ended = once(server, 'exit')
  onTestFinished(async () => {
    server.kill('SIGKILL')
    await ended
  })
  await waitFor(`${command} answers`, async () => {
    if (server.exitCode !== null) throw new Error(output)
    await answers()
    return true
  })
}

/** A URL of an empty database. */
export async function startPostgresql(): Promise<string> {
  const [folder, port] = [await makeFolder(), await freePort()]
  const asUser = ['--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups']
  await mustRun('setpriv', [...asUser, postgresqlProgram('initdb'), '--pgdata', folder, '--username', 'test', '--auth', 'trust', '--no-sync', '--encoding', 'UTF8', '--locale', 'C'], { cwd: folder })
  const settings = { listen_addresses: '127.0.0.1', port, unix_socket_directories: folder, fsync: 'off' }
  const url = `postgresql://test@127.0.0.1:${port}/postgres`
  await serve(
    postgresqlProgram('postgres'), ['-D', folder, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])], folder,
    () => mustRun(postgresqlProgram('psql'), ['--no-psqlrc', '--command', 'SELECT 1', url]),
  )
  return url
}

/** A URL of an empty database. */
export async function startRedis(): Promise<string> {
  const [folder, port] = [await makeFolder(), await freePort()]
  await serve('redis-server', ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, '--save', ''], folder, () =>
    mustRun('redis-cli', ['-e', '-p', String(port), 'PING']),
  )
  return `redis://127.0.0.1:${port}`
}
