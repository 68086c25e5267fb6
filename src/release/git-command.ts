import { spawn } from 'node:child_process'
import { userInfo } from 'node:os'
import { PassThrough, pipeline, type Readable } from 'node:stream'
import { escapeControl } from '../config/quote.js'
import { HoldfastError } from '../errors.js'

/** How long git may say nothing. A server that packs a large repository, and git itself, show progress. */
const idleMs = 300_000
/** How long git may take to end once it was told to, in milliseconds. */
const killMs = 5000
/** Of what is read as text: lists of branches, at most. */
const mostTextBytes = 16 * 1024 * 1024

export interface GitOptions {
  /** The protocols that git may speak, as GIT_ALLOW_PROTOCOL takes them. Default none. */
  protocols?: string
  /** Of the command, besides what keeps it safe. */
  env?: Record<string, string>
  /** The account that it runs as, without a home folder and configuration of its own. Absent: the caller's. */
  as?: { uid: number; gid: number }
  signal?: AbortSignal
  /** Bytes of a fetch so far, as git's progress tells them (`--progress`). */
  onReceived?(bytes: number): void
}

export interface GitResult {
  /** undefined when a signal ended it. */
  code: number | undefined
  stdout: string
  /** What git said, without progress, and nothing in it that a terminal would act on. */
  said: string[]
}

/**
 * Whatever a repository's own configuration says: no hook and no monitor runs, files stay as they are stored, and no signature is
 * looked at (for `git archive` see `hideSignatures`). (A mirror is Holdfast's own, and a local repository's configuration belongs
 * to its owner, whom git then runs as.)
 */
const safety = [
  'core.hooksPath=/dev/null', 'core.fsmonitor=false',
  'gpg.program=/bin/false', 'gpg.openpgp.program=/bin/false', 'gpg.x509.program=/bin/false', 'gpg.ssh.program=/bin/false',
  'filter.lfs.smudge=', 'filter.lfs.process=', 'filter.lfs.required=false',
  'gc.autoDetach=false', 'maintenance.autoDetach=false', 'tar.umask=0022', 'http.lowSpeedLimit=1', 'http.lowSpeedTime=60',
].flatMap((setting) => ['-c', setting])

/** Of the caller's environment: what credentials, keys and proxies need, and nothing that points git elsewhere. */
const kept = /^(?:PATH|USER|LOGNAME|TMPDIR|XDG_CONFIG_HOME|XDG_RUNTIME_DIR|SSH_AUTH_SOCK|GIT_SSH|GIT_SSH_COMMAND|GIT_SSH_VARIANT|GIT_SSL_\w+|SSL_CERT_FILE|SSL_CERT_DIR|(?:https?|all|no)_proxy|(?:HTTPS?|ALL|NO)_PROXY)$/

/**
 * Runs git and reads what it writes, as text or, with `take`, part by part. Never asks anybody for anything.
 * @throws HoldfastError `fetch-failed` when git is not there, or says nothing for 5 minutes; the signal's reason
 */
export async function runGit(args: readonly string[], options: GitOptions = {}, take?: (stdout: Readable) => Promise<unknown>): Promise<GitResult> {
  const { as, signal, onReceived } = options
  signal?.throwIfAborted()
  const child = spawn('git', [...safety, ...args], {
    cwd: '/',
    env: environment(options),
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, to end it with its helpers; and no terminal on which ssh could ask.
    detached: true,
    ...(as === undefined ? {} : { uid: as.uid, gid: as.gid }),
  })
  const ended = new Promise<number | undefined>((resolve, reject) => {
    child.on('error', (error) => reject(explainSpawnError(error as NodeJS.ErrnoException)))
    // Not `close`: an ssh that stays for the next connection (ControlPersist) keeps the standard error open.
    child.on('exit', (code) => resolve(code ?? undefined))
  })
  // It is awaited below, but may fail before.
  ended.catch(() => {})
  const end = (name: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name)
    } catch {
      // It has ended.
    }
  }
  let isIdle = false
  let kill: NodeJS.Timeout | undefined
  const abort = (): void => {
    end('SIGTERM')
    kill = setTimeout(() => end('SIGKILL'), killMs)
  }
  const idle = setTimeout(() => {
    isIdle = true
    abort()
  }, idleMs)
  signal?.addEventListener('abort', abort)
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    idle.refresh()
    said = (said + chunk.toString('latin1')).slice(-64 * 1024)
    const received = onReceived === undefined ? undefined : readReceived(chunk.toString('latin1'))
    if (received !== undefined) onReceived?.(received)
  })
  // Taken from the start: node throws away what nobody reads when the process has ended. Errors come out of `output`.
  const output = pipeline(child.stdout, new PassThrough(), () => {})
  child.stdout.on('data', () => idle.refresh())
  try {
    const [code, stdout] = await Promise.all([ended, take === undefined ? readText(output) : take(output).then(() => '')])
    signal?.throwIfAborted()
    await readRest(child.stderr)
    if (isIdle) throw new HoldfastError('fetch-failed', `git said nothing for ${idleMs / 60_000} minutes, and was ended: ${lastWords(readLines(said))}`, { hint: 'is the other side reachable? Run it again once it is' })
    return { code, stdout, said: readLines(said) }
  } catch (error) {
    end('SIGKILL')
    const spawnError = await ended.then(() => undefined, (reason: unknown) => reason)
    signal?.throwIfAborted()
    throw spawnError ?? error
  } finally {
    clearTimeout(idle)
    clearTimeout(kill)
    output.destroy()
    child.stderr.destroy()
    signal?.removeEventListener('abort', abort)
  }
}

/** The last of what git said, in one line for a message. */
export function lastWords(said: readonly string[]): string {
  return said.slice(-3).join('; ') || 'it said nothing'
}

/** What a process that has ended wrote, unless somebody else keeps the pipe. */
async function readRest(stderr: Readable): Promise<void> {
  if (stderr.closed) return
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, 500)
    stderr.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

async function readText(stdout: Readable): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of stdout as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > mostTextBytes) throw new HoldfastError('fetch-failed', `git lists more than ${mostTextBytes / 2 ** 20} MiB of names`, { hint: 'is it the right repository?' })
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

const units: Record<string, number> = { bytes: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }

/** `Receiving objects:  45% (450/1000), 1.20 MiB | 3.00 MiB/s` (of a pack that is kept as it is): how much, or undefined. */
export function readReceived(said: string): number | undefined {
  const [, amount, unit] = [...said.matchAll(/Receiving objects: .*?, ([\d.]+) (bytes|KiB|MiB|GiB)/g)].at(-1) ?? []
  return amount === undefined ? undefined : Math.round(Number(amount) * (units[unit ?? ''] ?? 1))
}

/** Lines that say nothing of the cause: progress, and what git adds to every failure of ssh. */
const noise = /^(?:remote: )?(?:Enumerating|Counting|Compressing|Receiving|Resolving|Writing|Updating|Unpacking) [a-z ]+:|^(?:remote: )?Total \d|^Please make sure you have the correct access rights$|^and the repository exists\.$|^remote:$/

function readLines(said: string): string[] {
  return Buffer.from(said, 'latin1').toString('utf8').split(/[\r\n]+/)
    .map((line) => escapeControl(line.trimEnd()).slice(0, 300))
    .filter((line) => line !== '' && !noise.test(line))
}

function environment({ as, env = {}, protocols = '' }: GitOptions): NodeJS.ProcessEnv {
  const own = as === undefined ? Object.fromEntries(Object.entries(process.env).filter(([name]) => kept.test(name))) : { PATH: process.env['PATH'] }
  // Root's own keys and settings, also where sudo left HOME as it was.
  const ownHome = process.getuid?.() === 0 ? undefined : process.env['HOME']
  const home = as === undefined ? { HOME: ownHome ?? userInfo().homedir } : { HOME: '/nonexistent', GIT_CONFIG_GLOBAL: '/dev/null' }
  return {
    ...own, ...home, LC_ALL: 'C', GIT_TERMINAL_PROMPT: '0', SSH_ASKPASS_REQUIRE: 'never', GIT_OPTIONAL_LOCKS: '0',
    GIT_NO_REPLACE_OBJECTS: '1', GIT_NO_LAZY_FETCH: '1', GIT_ALLOW_PROTOCOL: protocols, ...env,
  }
}

function explainSpawnError(error: NodeJS.ErrnoException): HoldfastError {
  const isMissing = error.code === 'ENOENT'
  return new HoldfastError('fetch-failed', isMissing ? 'git is not installed on this machine' : `git cannot be started: ${error.message}`, {
    hint: isMissing ? 'sudo apt-get install git   # or dnf, zypper, pacman' : 'git --version',
    cause: error,
  })
}
