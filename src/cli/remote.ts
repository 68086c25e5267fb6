import { spawn, type ChildProcess } from 'node:child_process'
import { createReadStream, existsSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { basename, join } from 'node:path'
import type { Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { isatty } from 'node:tty'
import { loadConfig } from '../config/load.js'
import { quoteWord } from '../config/shell.js'
import { frameStream } from '../deploy/operation/deploy-frames.js'
import { lineText } from '../deploy/foreign-text.js'
import { LineSplitter } from '../deploy/operation/hook-output.js'
import { longestEvent, parseEvent, parseReady } from '../deploy/operation/parse-event.js'
import { overlayOf, sourceOf, sourceText, sourceArguments, type AskedSource } from '../deploy/operation/source-of.js'
import { HoldfastError } from '../errors.js'
import { packFolder } from '../release/pack.js'
import { nameInFolder, readDeployWords } from './choose-app.js'
import { kindOf, overlayWords, switchWords, type DeployOptions, type RemoteClient } from './deploy.js'
import { commandText } from './operation-client.js'
import { jsonText, print } from './output.js'
import { progressPrinter, type ProgressPrinter } from './progress-printer.js'
import { version } from './version.js'
import { bytesWords } from './words.js'

/**
 * `holdfast deploy --to`: runs holdfast on the other machine by ssh, sends it what is here, and shows what it tells.
 * @returns its exit status
 */
export async function deployRemotely(host: string, words: readonly string[], options: DeployOptions): Promise<number> {
  checkHost(host)
  const plan = planRemote(host, words, options)
  if ([plan.source, plan.overlay].some((one) => one?.kind === 'input') && isatty(0)) {
    throw usage('standard input is a terminal, and an archive is expected there', `tar -cz -C FOLDER . | holdfast deploy APP - --to ${host}`)
  }
  return new RemoteDeploy(host, plan, options).run()
}

/** What is sent to the other machine, and what is run there. */
export interface RemotePlan {
  app: string | undefined
  source: AskedSource | undefined
  overlay: AskedSource | undefined
  /** Words of the command there, from the program's name on. */
  command: string[]
}

/** @throws HoldfastError `usage` */
export function planRemote(host: string, words: readonly string[], options: DeployOptions): RemotePlan {
  const { branch, commit, sha256, overlaySha256, user } = options
  const given = readDeployWords(words, [], existsSync)
  const here = { cwd: process.cwd(), kindOf }
  const source = given.source === undefined ? undefined : sourceOf(given.source, {
    ...here, ...(branch === undefined ? {} : { branch }), ...(commit === undefined ? {} : { commit }), ...(sha256 === undefined ? {} : { sha256 }),
  })
  if (source?.kind === 'git' && source.repository.startsWith('/')) {
    throw usage(`${source.repository} is a repository on this machine, which ${host} cannot read`, 'push it, and name its address; or deploy the folder as it is, without --branch and --commit')
  }
  const overlay = options.overlay === undefined ? undefined : overlayOf(options.overlay, { ...here, ...(overlaySha256 === undefined ? {} : { sha256: overlaySha256 }) })
  if (source?.kind === 'input' && overlay?.kind === 'input') throw usage('the source and the overlay cannot both be standard input', 'give one of them as a file')
  const app = given.app ?? (source?.kind === 'directory' ? nameInFolder(source.path) : undefined) ?? nameInFolder(process.cwd())
  const client: RemoteClient = {
    again: commandText(['deploy', ...(app === undefined ? [] : [app]), ...(source === undefined ? [] : sourceArguments(source)), ...overlayWords(overlay), ...switchWords(options), '--to', host], options),
    ...(source === undefined ? {} : { name: sourceText(source) }),
    ...(overlay === undefined ? {} : { overlayName: sourceText(overlay) }),
  }
  const there = wordsThere(source)
  const over = wordsThere(overlay)
  const command = [
    'holdfast', ...(user === true ? ['--user'] : []), 'deploy', ...there.options,
    // Without a source, these are about the one that is usual there.
    ...(source === undefined ? [...(branch === undefined ? [] : ['--branch', branch]), ...(commit === undefined ? [] : ['--commit', commit])] : []),
    ...(over.place === undefined ? [] : ['--overlay', over.place, ...over.options.map((word) => (word === '--sha256' ? '--overlay-sha256' : word))]),
    ...switchWords(options), ...(options.wait === true ? ['--wait'] : []), ...(options.dryRun === true ? ['--dry-run'] : []),
    ...(options.dryRun === true && options.json !== true ? [] : ['--json']),
    '--remote', JSON.stringify(client),
    // It runs as root: nothing behind this is an option there.
    '--', ...(app === undefined ? [] : [app]), ...(there.place === undefined ? [] : [there.place]),
  ]
  return { app, source, overlay, command }
}

/** What lies here is sent, and is standard input there; what has an address is fetched there. */
function wordsThere(asked: AskedSource | undefined): { place?: string; options: string[] } {
  switch (asked?.kind) {
    case undefined:
      return { options: [] }
    case 'git':
      return { place: asked.repository, options: sourceArguments(asked).slice(1) }
    case 'address':
      return { place: asked.url, options: sourceArguments(asked).slice(1) }
    case 'directory':
      return { place: '-', options: [] }
    case 'archive':
    case 'input':
      return { place: '-', options: asked.sha256 === undefined ? [] : ['--sha256', asked.sha256] }
  }
}

/** As ssh(1) takes it: an account and a machine, or a name of its own configuration. */
function checkHost(host: string): void {
  if (/^[^\s\p{Cc}-][^\s\p{Cc}]*$/u.test(host)) return
  throw usage(`--to ${JSON.stringify(host)} is no machine`, 'holdfast deploy --to anna@shop.example.com SOURCE')
}

/** The command line of ssh(1). `HOLDFAST_SSH` gives the program and options of its own, split at blanks. Pure. */
export function sshArgs(host: string, command: readonly string[], { user, env }: { user: boolean; env: NodeJS.ProcessEnv }): string[] {
  // The units there are root's: so is who deploys, but for the apps of a user's own manager.
  const script = user ? 'exec "$@"' : 'if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -n -- "$@"; fi'
  // ssh joins words by blanks, and the account's shell there reads them: so they are quoted for it.
  const remote = ['exec', 'sh', '-c', quoteWord(script), 'sh', ...command.map(quoteWord)].join(' ')
  const ssh = (env['HOLDFAST_SSH'] ?? '').trim().split(/\s+/).filter((word) => word !== '')
  return [...(ssh.length === 0 ? ['ssh'] : ssh), '-T', '-o', 'ServerAliveInterval=15', '--', host, remote]
}

/** The longest line on standard error that is shown whole, in bytes, and how many are kept. */
const longestSaid = 16 << 10
const saidLines = 50

/** How far it has come; each tells what a lost connection means. */
type Phase = 'connecting' | 'sending' | 'sent' | 'begun' | 'ended'

class RemoteDeploy {
  private phase: Phase = 'connecting'
  private status: number | undefined
  /** What ssh and the other side said last, before it is known whether holdfast answers there. */
  private readonly said: string[] = []
  /** The plan of `--dry-run --json`, as it came, and its length in characters. */
  private readonly plan: string[] = []
  private planLength = 0
  private readonly printer: ProgressPrinter
  private readonly child: ChildProcess
  private readonly app: string

  constructor(private readonly host: string, private readonly remote: RemotePlan, private readonly options: DeployOptions) {
    this.app = remote.app ?? 'the app'
    this.printer = progressPrinter(this.app, { json: options.json === true })
    const [program = 'ssh', ...args] = sshArgs(host, remote.command, { user: options.user === true, env: process.env })
    this.child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  }

  async run(): Promise<number> {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => this.leave())
    const closed = new Promise<number>((resolve, reject) => {
      this.child.on('error', (error) => reject(new HoldfastError('machine-unfit', `ssh cannot be run: ${error.message}`, { hint: 'install ssh, or name it in HOLDFAST_SSH', cause: error })))
      this.child.on('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
    })
    // A connection that breaks is told by the end of ssh.
    this.child.stdin?.on('error', () => {})
    const failed = new Promise<never>((_, reject) => {
      readLines(this.child.stdout as Readable, longestEvent, (line) => this.hear(line, reject))
    })
    readLines(this.child.stderr as Readable, longestSaid, (line) => this.hearError(line))
    try {
      return this.conclude(await Promise.race([closed, failed]))
    } finally {
      this.printer.clear()
      this.child.kill()
    }
  }

  private hear(line: string, fail: (error: unknown) => void): void {
    if (this.phase === 'connecting') {
      // A message of the day, or of the shell's, comes before.
      const there = parseReady(line)
      if (there === undefined) return
      if (there !== version) return fail(otherVersion(this.host, `version ${there}, and this one is ${version}`))
      this.phase = 'sending'
      for (const one of this.said.splice(0)) process.stderr.write(`${lineText(one)}\n`)
      this.send().then(() => (this.phase = this.phase === 'sending' ? 'sent' : this.phase), fail)
      return
    }
    if (this.options.dryRun === true) {
      if (this.options.json !== true) return print(lineText(line))
      this.planLength += line.length
      if (this.planLength <= longestEvent) this.plan.push(line)
      return
    }
    for (const event of parseEvent(line)) {
      if (event.type === 'deploy') this.phase = 'begun'
      if (event.type === 'end') {
        this.phase = 'ended'
        this.status = event.status
      }
      this.printer.event(event)
    }
  }

  private hearError(line: string): void {
    if (this.phase === 'connecting') {
      this.said.push(line)
      if (this.said.length > saidLines) this.said.shift()
    } else {
      this.printer.clear()
      process.stderr.write(`${lineText(line)}\n`)
    }
  }

  /** Sends what lies here, one archive after the other. The input stays open: its end tells the other side that we are gone. */
  private async send(): Promise<void> {
    for (const asked of [this.remote.source, this.remote.overlay]) {
      if (asked?.kind !== 'directory' && asked?.kind !== 'archive' && asked?.kind !== 'input') continue
      const out = frameStream()
      const isHandedOn = finished(out)
      out.pipe(this.child.stdin as NonNullable<ChildProcess['stdin']>, { end: false })
      if (asked.kind === 'directory') {
        await packFolder(asked.path, out, { exclude: excludeOf(asked.path), onProgress: ({ bytes }) => this.tellSent(bytes) })
        if (!out.writableEnded) out.end()
      } else {
        const total = asked.kind === 'archive' ? statSync(asked.path).size : undefined
        let bytes = 0
        const input = asked.kind === 'archive' ? createReadStream(asked.path) : process.stdin
        input.on('data', (chunk: Buffer | string) => this.tellSent((bytes += chunk.length), total))
        await pipeline(input, out)
      }
      await isHandedOn
    }
    this.printer.clear()
  }

  private tellSent(bytes: number, total?: number): void {
    this.printer.activity(`sending to ${this.host}: ${bytesWords(bytes)}${total === undefined ? '' : ` of ${bytesWords(total)}`}`)
  }

  private conclude(status: number): number {
    if (this.status !== undefined) return this.status
    // 255 is ssh's own; anything else is what ended there.
    if (status === 255 || status >= 128) throw this.lost()
    if (this.phase === 'connecting') this.explain(status)
    if (status === 0 && this.options.dryRun === true && this.options.json === true) this.printPlan()
    return status
  }

  /** What comes from another machine is printed as JSON only where it is some. */
  private printPlan(): void {
    let plan: unknown
    try {
      plan = JSON.parse(this.plan.join('\n'))
    } catch (error) {
      throw new HoldfastError('deploy-failed', `what ${this.host} answered is no plan`, { hint: `ssh ${this.host} holdfast --version   # and here: ${version}`, cause: error })
    }
    print(jsonText(plan, 2))
  }

  /** The connection is gone. What that means for the deploy depends on how far it had come. */
  private lost(): HoldfastError {
    const { host } = this
    const said = this.said.length === 0 ? '' : `: ${lineText(this.said.at(-1) as string)}`
    const look = `ssh ${host} ${commandText(['status', ...(this.remote.app === undefined ? [] : [this.remote.app])], this.options)}`
    switch (this.phase) {
      case 'connecting':
        return new HoldfastError('deploy-failed', `${host} cannot be reached${said}. Nothing was begun there`, { hint: `ssh ${host} true` })
      case 'sending':
        return new HoldfastError('deploy-failed', `the connection to ${host} was lost while the archive was sent. Nothing was begun there`, { hint: 'run the same again' })
      case 'sent':
        return new HoldfastError('deploy-failed', `the connection to ${host} was lost before it answered. Whether the deploy has begun there is not known`, { hint: look })
      case 'begun':
      case 'ended':
        return new HoldfastError('deploy-failed', `the connection to ${host} was lost. The deploy goes on there`, { hint: look })
    }
  }

  /** Holdfast did not answer there: its own refusal is passed on, all else is put into words. */
  private explain(status: number): void {
    const said = this.said.join('\n')
    const { host } = this
    if (status === 127 || /holdfast: (?:command )?not found/.test(said)) {
      throw new HoldfastError('machine-unfit', `${host} has no program holdfast on its PATH. Nothing was begun there`, { hint: `ssh ${host} sudo npm install --global holdfast` })
    }
    if (/^sudo: /m.test(said)) {
      throw new HoldfastError('machine-unfit', `the account at ${host} may not run holdfast as root without a password: ${lineText(said.split('\n').at(-1) ?? '')}. Nothing was begun there`, {
        hint: 'deploy as root (--to root@…), for the apps of that account with --user, or by a line in /etc/sudoers.d: ACCOUNT ALL=(root) NOPASSWD: /usr/local/bin/holdfast',
      })
    }
    if (/unknown (?:command|option)/.test(said)) {
      throw otherVersion(host, 'another version, which takes no deploys from here')
    }
    for (const line of this.said) process.stderr.write(`${lineText(line)}\n`)
  }

  private leave(): never {
    this.printer.clear()
    const text = {
      connecting: `Nothing was begun at ${this.host}.`,
      sending: `Nothing was begun at ${this.host}.`,
      sent: `Whether it has begun at ${this.host} is not known.`,
      begun: `The deploy goes on at ${this.host}.`,
      ended: '',
    }[this.phase]
    this.child.kill()
    const look = this.phase === 'sent' || this.phase === 'begun' ? ` To see how: ssh ${this.host} ${commandText(['status', ...(this.remote.app === undefined ? [] : [this.remote.app])], this.options)}` : ''
    process.stderr.write(`${text}${look}\n`)
    process.exit(130)
  }
}

const otherVersion = (host: string, words: string): HoldfastError =>
  new HoldfastError('machine-unfit', `the holdfast at ${host} is of ${words}. Nothing was begun there`, { hint: `ssh ${host} sudo npm install --global holdfast@${version}` })

function readLines(input: Readable, longest: number, onLine: (line: string) => void): void {
  const lines = new LineSplitter(onLine, longest)
  input.on('data', (bytes: Buffer) => lines.add(bytes))
  input.on('end', () => lines.end())
}

/** What stays here: the repository's own files, and what `hooks.install` makes there anew. */
export function excludeOf(folder: string): (path: string) => boolean {
  const isMadeThere = hasInstallHook(folder)
  return (path) => basename(path) === '.git' || (isMadeThere && basename(path) === 'node_modules')
}

function hasInstallHook(folder: string): boolean {
  const file = join(folder, 'holdfast.toml')
  return existsSync(file) && loadConfig(file).hooks.install !== undefined
}

const usage = (message: string, hint: string): HoldfastError => new HoldfastError('usage', message, { hint })
