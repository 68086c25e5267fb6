import { HoldfastError } from '../errors.js'
import type { Scope } from '../release/paths.js'
import { runProgram, type CommandResult } from '../run-program.js'
import type { JournalEntry, JournalQuery, QueuedJob, Systemd, UnitState } from './systemd.js'

const properties = [
  'Id', 'LoadState', 'ActiveState', 'SubState', 'Result', 'MainPID', 'NRestarts', 'ExecMainCode', 'ExecMainStatus', 'InvocationID',
  'StatusText', 'ActiveEnterTimestamp', 'MemoryCurrent',
]

/** systemd by its own programs, `systemctl` and `journalctl`. */
export class Systemctl implements Systemd {
  constructor(readonly scope: Scope) {}

  async show(units: readonly string[]): Promise<UnitState[]> {
    if (units.length === 0) return []
    const { stdout } = await this.ask(['show', '--timestamp=unix', `--property=${properties.join(',')}`, '--', ...units])
    const states = stdout
      .trimEnd()
      .split('\n\n')
      .map((block) => parseUnitState(block))
    return units.map((unit, i) => {
      const state = states[i]
      if (state === undefined) throw new HoldfastError('systemd-failed', `systemctl show says nothing of ${unit}`)
      return { ...state, unit }
    })
  }

  async list(pattern: string): Promise<string[]> {
    const { stdout } = await this.ask(['list-units', '--all', '--plain', '--no-legend', '--no-pager', '--full', '--', pattern])
    return stdout
      .split('\n')
      .map((line) => line.trim().split(/\s+/)[0] ?? '')
      .filter((name) => name !== '')
  }

  async job(unit: string): Promise<QueuedJob | undefined> {
    const { stdout } = await this.ask(['list-jobs', '--plain', '--no-legend', '--no-pager', '--full', '--', unit])
    for (const line of stdout.split('\n')) {
      const [, name, type] = line.trim().split(/\s+/)
      if (name !== unit) continue
      return type === 'start' || type === 'stop' || type === 'restart' || type === 'reload' ? type : 'other'
    }
    return undefined
  }

  async property(unit: string, name: string): Promise<string> {
    const { stdout } = await this.ask(['show', `--property=${name}`, '--value', '--', unit])
    return stdout.trimEnd()
  }

  async properties<P extends string>(units: readonly string[], names: readonly P[]): Promise<Record<P, string>[]> {
    if (units.length === 0) return []
    // Not --value: it tells not which of several properties has several lines.
    const { stdout } = await this.ask(['show', '--timestamp=unix', `--property=${names.join(',')}`, '--', ...units])
    const blocks = stdout.trimEnd().split('\n\n')
    return units.map((_, i) => parseProperties(blocks[i] ?? '', names))
  }

  async cat(unit: string): Promise<string> {
    return (await this.ask(['cat', '--no-pager', '--', unit])).stdout
  }

  async version(): Promise<number> {
    const { stdout } = await this.ask(['show', '--property=Version', '--value'])
    return Number.parseInt(stdout, 10)
  }

  async queueStart(units: readonly string[]): Promise<void> {
    if (units.length > 0) await this.insist(['start', '--no-block', '--', ...units])
  }

  async queueRestart(units: readonly string[]): Promise<void> {
    if (units.length > 0) await this.ask(['restart', '--no-block', '--', ...units])
  }

  async queueStop(units: readonly string[]): Promise<void> {
    if (units.length > 0) await this.insist(['stop', '--no-block', '--', ...units])
  }

  async beginStop(units: readonly string[]): Promise<void> {
    if (units.length === 0) return
    await this.queueStop(units)
    // A unit that stops goes on without its job, and is not started again by Restart=.
    for (const deadline = Date.now() + 10_000; Date.now() < deadline; await new Promise((resolve) => setTimeout(resolve, 20))) {
      const stops = await this.stopJobs(units)
      if (stops.size === 0) return
      const states = await this.show([...stops.keys()])
      const begun = states.filter(({ active }) => active === 'deactivating').map(({ unit }) => stops.get(unit) as string)
      if (begun.length > 0) await this.insist(['cancel', '--', ...begun])
    }
  }

  async run(verb: 'start' | 'stop' | 'restart' | 'reload', units: readonly string[]): Promise<{ ok: boolean; message: string }> {
    const { status, stderr } = await this.call([verb, '--', ...units])
    return { ok: status === 0, message: stderr.trim() }
  }

  async runTransient(args: readonly string[], options: { timeoutMs?: number } = {}): Promise<{ ok: boolean; message: string }> {
    const { status, stderr } = await runProgram('systemd-run', [...this.manager(), '--quiet', ...args], options)
    return { ok: status === 0, message: stderr.trim() }
  }

  async kill(unit: string, signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGKILL'): Promise<void> {
    await this.insist(['kill', `--signal=${signal}`, '--', unit])
  }

  async resetFailed(units: readonly string[]): Promise<void> {
    if (units.length > 0) await this.insist(['reset-failed', '--', ...units])
  }

  async daemonReload(): Promise<void> {
    await this.ask(['daemon-reload'])
  }

  async enable(units: readonly string[]): Promise<void> {
    await this.ask(['enable', '--quiet', '--', ...units])
  }

  async disable(units: readonly string[]): Promise<void> {
    await this.ask(['disable', '--quiet', '--', ...units])
  }

  async systemState(): Promise<string> {
    const { stdout } = await this.call(['is-system-running'])
    return stdout.trim()
  }

  async logTail(unit: string, invocation: string, lines: number): Promise<string[]> {
    if (this.scope === 'system') await runProgram('journalctl', ['--sync'])
    // What the instance itself wrote, not what systemd says about it.
    const ofUnit = `_SYSTEMD_${this.scope === 'user' ? 'USER_' : ''}UNIT=${unit}`
    const tail = async (matches: string[]): Promise<string[]> => {
      const { stdout } = await runProgram('journalctl', [...this.manager(), '--no-pager', '--quiet', '--output=cat', `--lines=${lines}`, ...matches])
      return stdout.split('\n').filter((line) => line.trim() !== '')
    }
    const own = invocation === '' ? [] : await tail([ofUnit, `_SYSTEMD_INVOCATION_ID=${invocation}`])
    // The journal does not know the start that a line belongs to when its process was gone before the line was read.
    return own.length > 0 ? own : tail([ofUnit])
  }

  async journal(query: JournalQuery): Promise<JournalEntry[]> {
    const { stdout } = await runProgram('journalctl', journalArguments(query))
    return parseJournal(stdout).reverse()
  }

  /** A call whose answer is needed. @throws HoldfastError `systemd-failed` */
  private async ask(args: readonly string[]): Promise<CommandResult> {
    const result = await this.insist(args)
    if (result.status === 0) return result
    throw new HoldfastError('systemd-failed', `systemctl ${args.join(' ')} ended with status ${result.status}: ${result.stderr.trim()}`, {
      hint: 'holdfast doctor',
    })
  }

  /** A call that must reach systemd: made again while that re-executes itself, for 10 s at most. */
  private async insist(args: readonly string[]): Promise<CommandResult> {
    for (const deadline = Date.now() + 10_000; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
      const result = await this.call(args)
      if (result.status === 0 || Date.now() > deadline || !/connect|transport|no reply|timed out|\bbus\b/i.test(result.stderr)) return result
    }
  }

  /** The numbers of the stop jobs of these units. */
  private async stopJobs(units: readonly string[]): Promise<Map<string, string>> {
    const { stdout } = await this.ask(['list-jobs', '--plain', '--no-legend', '--no-pager', '--full', '--', ...units])
    const jobs = stdout.split('\n').map((line) => line.trim().split(/\s+/))
    return new Map(jobs.filter(([, , type]) => type === 'stop').map(([id = '', unit = '']) => [unit, id]))
  }

  private call(args: readonly string[]): Promise<CommandResult> {
    return runProgram('systemctl', [...this.manager(), ...args])
  }

  private manager(): string[] {
    return this.scope === 'user' ? ['--user'] : []
  }
}

/** The newest entries, newest first: with `--since=` but without `--reverse`, `--lines=` counts from the oldest. Exported for its tests. */
export function journalArguments({ since, match, fields, limit }: JournalQuery): string[] {
  // Not `--user`, which opens a journal file of the user's own alone: there is none with Storage=volatile.
  return [
    '--no-pager', '--quiet', '--output=json', `--output-fields=${fields.join(',')}`, '--reverse', `--lines=${limit}`,
    `--since=@${Math.floor(Date.parse(since) / 1000)}`,
    ...Object.entries(match).flatMap(([name, values]) => values.map((value) => `${name}=${value}`)),
  ]
}

/** `journalctl --output=json`: an object on each line. Exported for its tests. */
export function parseJournal(text: string): JournalEntry[] {
  return text.split('\n').flatMap((line) => {
    let values: Record<string, unknown>
    try {
      values = JSON.parse(line) as Record<string, unknown>
    } catch {
      return []
    }
    // A field that stands twice is a list, and one that is no UTF-8 a list of bytes: neither is one that is looked for.
    const fields = Object.fromEntries(Object.entries(values).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
    return [{ at: Number(fields['__REALTIME_TIMESTAMP']) / 1000, fields }]
  })
}

/** The asked properties of one block of `systemctl show`; empty where it has none. Exported for its tests. */
export function parseProperties<P extends string>(block: string, names: readonly P[]): Record<P, string> {
  const values = Object.fromEntries(names.map((name) => [name, ''])) as Record<P, string>
  for (const line of block.split('\n')) {
    const at = line.indexOf('=')
    const name = line.slice(0, at) as P
    if (at > 0 && name in values) values[name] = values[name] === '' ? line.slice(at + 1) : `${values[name]}\n${line.slice(at + 1)}`
  }
  return values
}

/** One block of `systemctl show`. Exported for its tests. */
export function parseUnitState(block: string): UnitState {
  const values = new Map<string, string>()
  for (const line of block.split('\n')) {
    const at = line.indexOf('=')
    if (at > 0) values.set(line.slice(0, at), line.slice(at + 1))
  }
  const text = (name: string): string => values.get(name) ?? ''
  const number = (name: string): number => Number(text(name)) || 0
  // siginfo's si_code: CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0 where nothing has ended.
  const how = ({ 1: 'exited', 2: 'killed', 3: 'dumped' } as const)[number('ExecMainCode')]
  const since = text('ActiveEnterTimestamp')
  const memory = Number(text('MemoryCurrent') || Number.NaN)
  return {
    unit: text('Id'),
    load: text('LoadState'),
    active: text('ActiveState'),
    sub: text('SubState'),
    result: text('Result'),
    mainPid: number('MainPID'),
    restarts: number('NRestarts'),
    exit: how === undefined ? undefined : { how, status: number('ExecMainStatus') },
    invocation: text('InvocationID'),
    status: text('StatusText'),
    activeSince: since.startsWith('@') ? new Date(Number(since.slice(1)) * 1000).toISOString() : undefined,
    // 2^64 - 1 says that there is no accounting.
    memory: Number.isSafeInteger(memory) ? memory : undefined,
  }
}
