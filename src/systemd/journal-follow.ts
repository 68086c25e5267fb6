import { spawn, type ChildProcess } from 'node:child_process'
import { parseJournal } from './systemctl.js'
import type { JournalEntry } from './systemd.js'

/** How long a journalctl that has ended is away, in milliseconds: while journald is started again, it finds nothing. */
const againMs = 2_000

/** Longer entries are none that is looked for, in characters. */
const longestEntry = 1 << 20

/**
 * What comes into the journal from now on, as it comes. Each element of `matches` is a list of `FIELD=value` as of
 * journalctl(1); an entry has to match one of them. A journal that cannot be read tells nothing.
 * @param fields to tell
 * @returns what ends it
 */
export function followJournal(matches: readonly (readonly string[])[], fields: readonly string[], onEntry: (entry: JournalEntry) => void): () => void {
  let child: ChildProcess | undefined
  let timer: NodeJS.Timeout | undefined
  let hasEnded = false
  const begin = (): void => {
    let rest = ''
    child = spawn('journalctl', [
      '--follow', '--lines=0', '--no-pager', '--quiet', '--output=json', `--output-fields=${fields.join(',')}`,
      ...matches.flatMap((group, i) => (i === 0 ? group : ['+', ...group])),
    ], { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, LC_ALL: 'C.UTF-8' } })
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > longestEntry) rest = ''
      for (const entry of parseJournal(lines.join('\n'))) onEntry(entry)
    })
    const again = (): void => {
      if (hasEnded || timer !== undefined) return
      timer = setTimeout(() => {
        timer = undefined
        begin()
      }, againMs)
    }
    child.on('error', again) // there is no such program
    child.on('close', again)
  }
  begin()
  return () => {
    hasEnded = true
    clearTimeout(timer)
    child?.kill('SIGTERM')
  }
}
