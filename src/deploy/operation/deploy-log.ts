import { setTimeout as delay } from 'node:timers/promises'
import type { AppPaths } from '../../release/paths.js'
import { EventWriter, eventsFile } from './deploy-events.js'
import { writeDeployRecord, type DeployRecord } from './deploy-record.js'
import type { DeployEvent, StepName } from './progress.js'

/** What the work of a step tells while it goes on. */
export interface StepTelling {
  step: StepName
  progress(done: number, unit: 'bytes' | 'files', total?: number): void
  /** A line of a hook, or another piece of detail. */
  output(line: string): void
  /** A sentence that people should read. */
  note(text: string): void
  /** What the step came to, in a few words behind its name. */
  result(text: string): void
}

/** The least time between two events of progress, in milliseconds. */
const progressEveryMs = 100

/**
 * Tells how a deploy goes: to whoever follows its events, to the journal by `say`, and by its record on disk, which is
 * what is left of it should it be killed.
 */
export class DeployLog {
  readonly file: string
  private readonly writer: EventWriter
  private record: DeployRecord | undefined
  private last: StepName = 'fetch'
  private readonly begin = performance.now()

  constructor(private readonly paths: AppPaths, id: string, private readonly signal: AbortSignal, private readonly say: (event: DeployEvent) => void) {
    this.file = eventsFile(paths, id)
    this.writer = new EventWriter(this.file)
    this.writer.open(paths)
  }

  /** The step that it is in, or was in last. */
  get step(): StepName {
    return this.last
  }

  /** The release that it makes, once that has a name. */
  get release(): string | undefined {
    return this.record?.release
  }

  get durationMs(): number {
    return Math.round(performance.now() - this.begin)
  }

  tell(event: DeployEvent): void {
    this.writer.write(event)
    this.say(event)
  }

  note(text: string): void {
    this.tell({ type: 'note', text })
  }

  /** From now on the deploy is known to all: see `DeployRecord`. */
  keepRecord(record: DeployRecord): void {
    this.record = record
    writeDeployRecord(this.paths, record)
  }

  /** The release that the deploy makes has a name. */
  nameRelease(release: string): void {
    if (this.record !== undefined) this.keepRecord({ ...this.record, release })
  }

  /** Runs a step and tells its begin, its end and how long it took. */
  async run<T>(step: StepName, work: (telling: StepTelling) => Promise<T>): Promise<T> {
    this.signal.throwIfAborted()
    this.last = step
    if (this.record !== undefined) this.keepRecord({ ...this.record, step })
    const begin = performance.now()
    const duration = (): number => Math.round(performance.now() - begin)
    this.tell({ type: 'step', step, state: 'began', at: now() })
    let note: string | undefined
    try {
      const result = await work(tellingOf(step, (event) => this.tell(event), (text) => (note = text)))
      // Lets a signal in that came while the work held the thread.
      await delay(0)
      this.signal.throwIfAborted()
      this.tell({ type: 'step', step, state: 'done', at: now(), durationMs: duration(), ...(note === undefined ? {} : { note }) })
      return result
    } catch (error) {
      this.tell({ type: 'step', step, state: 'failed', at: now(), durationMs: duration() })
      throw error
    }
  }

  skip(step: StepName, why: string): void {
    this.tell({ type: 'step', step, state: 'skipped', at: now(), note: why })
  }
}

/** @param keep what `result` is told to */
export function tellingOf(step: StepName, tell: (event: DeployEvent) => void, keep: (text: string) => void): StepTelling {
  let toldAt = -Infinity
  return {
    step,
    progress(done, unit, total) {
      const time = performance.now()
      if (time - toldAt < progressEveryMs && done !== total) return
      toldAt = time
      tell({ type: 'progress', step, done, unit, ...(total === undefined ? {} : { total }) })
    },
    output: (line) => tell({ type: 'output', step, line }),
    note: (text) => tell({ type: 'note', text }),
    result: keep,
  }
}

const now = (): string => new Date().toISOString()
