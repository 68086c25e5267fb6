import { appendFileSync, chmodSync, closeSync, mkdirSync, openSync, readdirSync, readSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { AppPaths } from '../../release/paths.js'
import { makeRunFolder } from '../../release/run-folder.js'
import { LineSplitter } from './hook-output.js'
import { longestEvent, parseEvent } from './parse-event.js'
import type { DeployEvent } from './progress.js'

/** The events of a deploy, one per line, for whoever follows it. For root's eyes: hooks may print what is secret. */
export const eventsFile = (paths: AppPaths, id: string): string => join(paths.run, 'deploys', `${id}.jsonl`)

/** /run is memory: what hooks print beyond this, in bytes, stands in the journal alone. */
const longestFile = 8 * 2 ** 20

/** How many deploys' events are kept, for a look at them afterwards. */
const filesKept = 5

/** Writes events; at best: with /run full a deploy goes on, and only nobody sees how. */
export class EventWriter {
  private bytes = 0

  constructor(readonly file: string) {}

  open(paths: AppPaths): void {
    try {
      makeRunFolder(paths)
      mkdirSync(dirname(this.file), { recursive: true, mode: 0o755 })
      chmodSync(dirname(this.file), 0o755)
      closeSync(openSync(this.file, 'a', 0o600))
      prune(dirname(this.file))
    } catch {
      // See above.
    }
  }

  write(event: DeployEvent): void {
    const line = `${JSON.stringify(event)}\n`
    const isSpare = event.type === 'output' || event.type === 'progress'
    if (isSpare && this.bytes > longestFile) return
    this.bytes += line.length
    const cut: DeployEvent = { type: 'note', text: 'There is more output than is shown here; the journal has it.' }
    try {
      appendFileSync(this.file, isSpare && this.bytes > longestFile ? `${JSON.stringify(cut)}\n` : line, { mode: 0o600 })
    } catch {
      // See above.
    }
  }
}

/** Reads the events of a deploy as they come. */
export class EventReader {
  private at = 0
  private events: DeployEvent[] = []
  private readonly lines = new LineSplitter((line) => this.events.push(...parseEvent(line)), longestEvent)

  constructor(readonly file: string) {}

  /** What has come since the last call; nothing as long as there is no file. */
  read(): DeployEvent[] {
    let fd: number
    try {
      fd = openSync(this.file, 'r')
    } catch {
      return []
    }
    try {
      const buffer = Buffer.alloc(65_536)
      for (let count = readSync(fd, buffer, 0, buffer.length, this.at); count > 0; count = readSync(fd, buffer, 0, buffer.length, this.at)) {
        this.at += count
        // A copy: what is no whole line yet is kept, and the buffer is used again.
        this.lines.add(Buffer.from(buffer.subarray(0, count)))
      }
    } finally {
      closeSync(fd)
    }
    const events = this.events
    this.events = []
    return events
  }
}

function prune(folder: string): void {
  const age = (name: string): number => statSync(join(folder, name)).mtimeMs
  const names = readdirSync(folder).filter((name) => name.endsWith('.jsonl')).sort((a, b) => age(b) - age(a))
  for (const name of names.slice(filesKept)) rmSync(join(folder, name), { force: true })
}
