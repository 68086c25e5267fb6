/** A real SSH server on the loopback, with keys and a configuration of its own; and the `ssh` that reaches it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { onTestFailed, onTestFinished } from 'vitest'
import { temporaryFolder } from './archives.js'
import { checkout, freePort, mustRun, run, uniqueApp, waitFor } from './harness.js'

export interface SshServer {
  port: number
  /** An account without rights of its own, that may become root by `sudo -n`. */
  account: string
  /** For the environment of who calls `ssh`: finds the one that knows this server's port and keys. */
  env: { PATH: string }
  /** Cuts all connections, as when a network goes away. The server goes on. */
  cut(): Promise<void>
  /** The processes of its connections. */
  connections(): Promise<number[]>
}

/** Serves root and one more account until the test ends; `holdfast` is in the PATH of both. */
export async function startSshServer(): Promise<SshServer> {
  const [folder, port, account] = [await temporaryFolder('sshd'), await freePort(), uniqueApp('ssh')]
  await chmod(folder, 0o755) // the server reads authorized_keys as the account
  const key = (name: string): Promise<string> => mustRun('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', join(folder, name)])
  await Promise.all([key('host'), key('client')])
  const authorized = join(folder, 'authorized_keys')
  await mustRun('cp', [join(folder, 'client.pub'), authorized])
  await chmod(authorized, 0o644)
  await makeAccount(account)
  await installProgram()

  const config = join(folder, 'sshd_config')
  await writeFile(config, `ListenAddress 127.0.0.1:${port}
HostKey ${join(folder, 'host')}
PidFile none
AuthorizedKeysFile ${authorized}
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
UseDNS no
PrintMotd no
`)
  await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
  let output = ''
  // It insists on its full path, which it executes again for each connection.
  const server = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', config], { stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [server.stdout, server.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const ended = once(server, 'exit')
  const connections = async (): Promise<number[]> => (await run('pgrep', ['--parent', String(server.pid)])).stdout.split('\n').filter(Boolean).map(Number)
  const cut = async (): Promise<void> => {
    for (const pid of await connections()) {
      // The one that serves the account is a child of the one that holds its rights.
      const all = [...(await run('pgrep', ['--parent', String(pid), '-x', 'sshd'])).stdout.split('\n').filter(Boolean).map(Number), pid]
      for (const each of all) tryKill(each)
    }
  }
  onTestFailed(() => console.error(`--- sshd ---\n${output}`))
  onTestFinished(async () => {
    await cut()
    server.kill('SIGKILL')
    await ended
  })
  await waitFor('the SSH server listens', async () => {
    if (server.exitCode !== null) throw new Error(output)
    return (await run('ss', ['-Hltn', `sport = :${port}`])).stdout.includes('LISTEN')
  })

  const known = join(folder, 'known_hosts')
  await writeFile(known, `[127.0.0.1]:${port} ${await mustRun('cat', [join(folder, 'host.pub')])}`)
  const clientConfig = join(folder, 'ssh_config')
  await writeFile(clientConfig, `Host *
  Port ${port}
  IdentityFile ${join(folder, 'client')}
  IdentitiesOnly yes
  UserKnownHostsFile ${known}
  StrictHostKeyChecking yes
  BatchMode yes
`)
  // As if all this stood in ~/.ssh/config, without writing there.
  const programs = join(folder, 'bin')
  await mkdir(programs)
  await writeFile(join(programs, 'ssh'), `#!/bin/sh\nexec /usr/bin/ssh -F ${clientConfig} "$@"\n`, { mode: 0o755 })
  return { port, account, env: { PATH: `${programs}:${process.env['PATH']}` }, cut, connections }
}

async function makeAccount(account: string): Promise<void> {
  // Not "!": without PAM the server takes that for a locked account.
  await mustRun('useradd', ['--create-home', '--shell', '/bin/sh', '--password', '*', account])
  const rights = `/etc/sudoers.d/${account}`
  await writeFile(rights, `${account} ALL=(root) NOPASSWD: ALL\n`, { mode: 0o440 })
  await chown(rights, 0, 0)
  onTestFinished(async () => {
    await rm(rights)
    await run('userdel', ['--remove', account])
  })
}

/** What a server has of Holdfast: one command in the PATH of everybody. */
async function installProgram(): Promise<void> {
  const program = '/usr/local/bin/holdfast'
  await writeFile(program, `#!/bin/sh\nexec ${process.execPath} ${join(checkout, 'dist/cli/main.js')} "$@"\n`, { mode: 0o755 })
  onTestFinished(() => rm(program, { force: true }))
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // ended meanwhile
  }
}
