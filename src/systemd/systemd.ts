import type { Scope } from '../release/paths.js'

/** What systemd knows of a unit. */
export interface UnitState {
  unit: string
  /** `loaded`, `not-found`, `bad-setting`, `masked`, … */
  load: string
  /** `active`, `reloading`, `inactive`, `failed`, `activating` or `deactivating`. */
  active: string
  /** Finer, by unit type: `running`, `auto-restart`, `stop-sigterm`, `exited`, … */
  sub: string
  /** `success`, `exit-code`, `signal`, `timeout`, `protocol`, `watchdog`, … */
  result: string
  mainPid: number
  /** Automatic restarts since the last start by hand. */
  restarts: number
  /** Of the main process that ended last: `exited`, `killed` or `dumped`, and its status or signal number. */
  exit: { how: 'exited' | 'killed' | 'dumped'; status: number } | undefined
  /** Differs with every start. */
  invocation: string
  /** What the service said by `STATUS=`. */
  status: string
  /** ISO 8601 UTC of the last change to active, if it was ever active. */
  activeSince: string | undefined
  /** Bytes in use, where the kernel accounts for it. */
  memory: number | undefined
}

/** A systemd job that is queued for a unit. */
export type QueuedJob = 'start' | 'stop' | 'restart' | 'reload' | 'other'

export interface JournalQuery {
  /** ISO 8601, UTC. */
  since: string
  /** Field names to the values that they may have. */
  match: Readonly<Record<string, readonly string[]>>
  /** The fields to tell. */
  fields: readonly string[]
  /** At most so many entries. */
  limit: number
}

/** An entry of the journal; a field that it has not, or that is no text, is absent. */
export interface JournalEntry {
  /** Milliseconds since 1970. */
  at: number
  fields: Partial<Record<string, string>>
}

/**
 * Everything that Holdfast asks of systemd. The exit status of a client is no state: it may have lost
 * its connection (daemon-reexec) or come too late; so the calls that queue something tell nothing, and
 * `show` tells what became of it.
 */
export interface Systemd {
  readonly scope: Scope
  /** The state of each unit, in the order asked; units that do not exist have `load` `not-found`. */
  show(units: readonly string[]): Promise<UnitState[]>
  /** Names of the units that systemd has in memory and that match a glob pattern. */
  list(pattern: string): Promise<string[]>
  /** The systemd job of a unit, if one is queued or runs. */
  job(unit: string): Promise<QueuedJob | undefined>
  /** One property of a unit, as `systemctl show` prints it. */
  property(unit: string, name: string): Promise<string>
  /** Several properties of each unit, in the order asked; a property of several values has one line for each. */
  properties<P extends string>(units: readonly string[], names: readonly P[]): Promise<Record<P, string>[]>
  /** The text of a unit as systemd reads it: its file, then each drop-in. */
  cat(unit: string): Promise<string>
  /** Of the systemd that runs, such as 252. */
  version(): Promise<number>
  /** Queues a start and returns at once. */
  queueStart(units: readonly string[]): Promise<void>
  /** Queues a restart and returns at once. */
  queueRestart(units: readonly string[]): Promise<void>
  /** Queues a stop and returns at once. */
  queueStop(units: readonly string[]): Promise<void>
  /**
   * Has units begin to stop, and leaves no systemd job behind: with a stop queued, every unit that is ordered against
   * them could neither be started nor stopped until they have ended, and the sockets are.
   */
  beginStop(units: readonly string[]): Promise<void>
  /**
   * Waits for the end of a start, stop, restart or reload; the answer is what the client said, with its
   * words where it failed.
   */
  run(verb: 'start' | 'stop' | 'restart' | 'reload', units: readonly string[]): Promise<{ ok: boolean; message: string }>
  /**
   * Has a transient unit made and started by systemd-run(1), and waits for the end of its start; the answer is what the
   * client said, with its words where it failed. After a time it is killed, and what became of the unit is not known.
   */
  runTransient(args: readonly string[], options?: { timeoutMs?: number }): Promise<{ ok: boolean; message: string }>
  /** Sends a signal to every process of a unit. */
  kill(unit: string, signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGKILL'): Promise<void>
  /** Forgets that units failed. */
  resetFailed(units: readonly string[]): Promise<void>
  daemonReload(): Promise<void>
  enable(units: readonly string[]): Promise<void>
  disable(units: readonly string[]): Promise<void>
  /** `running`, `degraded`, `starting`, `stopping`, `offline` … */
  systemState(): Promise<string>
  /** The last lines of a unit's own output since its start, oldest first. */
  logTail(unit: string, invocation: string, lines: number): Promise<string[]>
  /**
   * The newest entries of the journal in which each field has one of its values, oldest first, with the fields that are
   * asked for. None where the journal cannot be read.
   */
  journal(query: JournalQuery): Promise<JournalEntry[]>
}
