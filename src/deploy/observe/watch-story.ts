import type { HistoryEntry } from '../../release/history.js'
import type { Scope } from '../../release/paths.js'
import { followJournal } from '../../systemd/journal-follow.js'
import type { JournalEntry, Systemd } from '../../systemd/systemd.js'
import { parseInstance } from '../../units/names.js'
import { plainText } from '../foreign-text.js'

/** A sentence of an app's story. */
export interface StoryLine {
  /** Milliseconds since 1970. */
  at: number
  /** A word of `deploy/story.ts`, or `drained` or `drain-cut` of an instance. */
  event: string
  /** Without control characters, on one line. */
  text: string
  generation: number | null
  release: string | null
}

/** What became of the requests of a generation in its drain, as its instances have logged it. */
export interface DrainedRequests {
  requestsAnswered: number
  /** Ended early, by the client or by the app itself. */
  requestsAborted: number
  /** At the hard end. */
  requestsCut: number
}

const unitField = (scope: Scope): string => (scope === 'user' ? '_SYSTEMD_USER_UNIT' : '_SYSTEMD_UNIT')
const fieldsOf = (scope: Scope): string[] => [
  'MESSAGE', 'MESSAGE_ID', 'HOLDFAST_APP', 'HOLDFAST_PHASE', 'HOLDFAST_GENERATION', 'HOLDFAST_RELEASE', 'SYSLOG_IDENTIFIER',
  'PHASE', 'DURATION_MS', 'REQUESTS_ANSWERED', 'REQUESTS_ABORTED', 'REQUESTS_CUT', '_UID', '_PID', unitField(scope), 'UNIT', 'USER_UNIT',
]

/** Who the handovers of a scope run as: anybody may write an app's name into an entry of the journal. */
const ownUid = (scope: Scope): string => String(scope === 'user' ? process.getuid?.() : 0)

/** The last sentences of an app's handovers, oldest first. None where the journal cannot be read. */
export async function readStory(systemd: Systemd, app: string, limit: number): Promise<StoryLine[]> {
  const match = { HOLDFAST_APP: [app], SYSLOG_IDENTIFIER: ['holdfast'], _UID: [ownUid(systemd.scope)] }
  const entries = await systemd.journal({ since: new Date(0).toISOString(), match, fields: fieldsOf(systemd.scope), limit })
  return entries.flatMap((entry) => storyLine(app, systemd.scope, entry) ?? [])
}

/** Whether this account is shown what the manager writes to the journal. */
export async function canReadJournal(systemd: Systemd): Promise<boolean> {
  const [name, value] = managerMatch(systemd.scope).split('=') as [string, string]
  return (await systemd.journal({ since: new Date(0).toISOString(), match: { [name]: [value] }, fields: ['_PID'], limit: 1 })).length > 0
}

/**
 * What the instances of a generation have logged of their drain. Undefined where they log nothing, as without the native
 * journal package, and where the journal cannot be read.
 * @param sinceMs milliseconds since 1970
 */
export async function readDrain(systemd: Systemd, app: string, generation: number, sinceMs: number): Promise<DrainedRequests | undefined> {
  const entries = await systemd.journal({
    since: new Date(sinceMs).toISOString(),
    match: { HOLDFAST_APP: [app], HOLDFAST_GENERATION: [String(generation)], PHASE: ['drained', 'drain-cut'] },
    fields: fieldsOf(systemd.scope), limit: 1000,
  })
  const ofProcess = new Map<number, DrainedRequests>()
  for (const { fields } of entries) {
    const instance = drainedInstance(app, systemd.scope, fields)
    const count = (name: string): number => Number(fields[name] ?? 0) || 0
    if (instance?.generation === generation) {
      ofProcess.set(instance.process, { requestsAnswered: count('REQUESTS_ANSWERED'), requestsAborted: count('REQUESTS_ABORTED'), requestsCut: count('REQUESTS_CUT') })
    }
  }
  if (ofProcess.size === 0) return undefined
  return [...ofProcess.values()].reduce((a, b) => ({
    requestsAnswered: a.requestsAnswered + b.requestsAnswered, requestsAborted: a.requestsAborted + b.requestsAborted, requestsCut: a.requestsCut + b.requestsCut,
  }))
}

/**
 * Follows the story of apps, and what the manager says of any unit.
 * @param onStory a sentence of one of them
 * @param onUnit something has become of a unit
 * @returns what ends it
 */
export function followStory(scope: Scope, apps: () => readonly string[], onStory: (app: string, line: StoryLine) => void, onUnit: (unit: string) => void): () => void {
  const matches = [['SYSLOG_IDENTIFIER=holdfast', `_UID=${ownUid(scope)}`], ['PHASE=drained', 'PHASE=drain-cut'], [managerMatch(scope)]]
  return followJournal(matches, fieldsOf(scope), (entry) => {
    const unit = entry.fields['UNIT'] ?? entry.fields['USER_UNIT']
    // What has become of a unit has an id of systemd.journal-fields(7); without one are complaints, such as of a file that
    // is not there, which our own looking brings about.
    if (unit !== undefined && entry.fields['MESSAGE_ID'] !== undefined) onUnit(unit)
    const app = entry.fields['HOLDFAST_APP']
    const line = app !== undefined && apps().includes(app) ? storyLine(app, scope, entry) : undefined
    if (app !== undefined && line !== undefined) onStory(app, line)
  })
}

const managerMatch = (scope: Scope): string => (scope === 'user' ? '_SYSTEMD_USER_UNIT=init.scope' : '_PID=1')

/** Undefined for an entry that is not of the app's handovers nor of the drain of an instance. Pure but for the uid. */
export function storyLine(app: string, scope: Scope, { at, fields }: JournalEntry): StoryLine | undefined {
  if (fields['HOLDFAST_APP'] !== app || fields['MESSAGE'] === undefined) return undefined
  const text = plainText(fields['MESSAGE'].split('\n')[0] ?? '')
  const generation = Number(fields['HOLDFAST_GENERATION'] ?? Number.NaN)
  if (fields['SYSLOG_IDENTIFIER'] === 'holdfast' && fields['_UID'] === ownUid(scope)) {
    const release = fields['HOLDFAST_RELEASE']
    return {
      at, event: plainText(fields['HOLDFAST_PHASE'] ?? ''), text, generation: Number.isSafeInteger(generation) ? generation : null,
      release: release === undefined ? null : plainText(release),
    }
  }
  const instance = drainedInstance(app, scope, fields)
  if (instance === undefined) return undefined
  return { at, event: fields['PHASE'] as string, text: `${instance.generation}.${instance.process} ${text}`, generation: instance.generation, release: null }
}

/** Of an entry at the end of a drain. Anybody may write the app's name into one; the unit comes from systemd itself. */
function drainedInstance(app: string, scope: Scope, fields: JournalEntry['fields']): ReturnType<typeof parseInstance> {
  const isDrained = (fields['PHASE'] === 'drained' || fields['PHASE'] === 'drain-cut') && fields['DURATION_MS'] !== undefined
  return isDrained ? parseInstance(app, fields[unitField(scope)] ?? '') : undefined
}

/** The history as a story, for whom the journal is closed to. Pure. */
export function historyStory(history: readonly HistoryEntry[]): StoryLine[] {
  return history.map((entry) => ({
    at: Date.parse(entry.at),
    event: entry.outcome,
    text: historyText(entry),
    generation: entry.release === undefined ? null : entry.generation,
    release: entry.release ?? null,
  }))
}

function historyText({ outcome, generation, release, reason, durationMs }: HistoryEntry): string {
  const what = release === undefined ? 'A release' : `Generation ${generation}, release ${release},`
  const words: Record<HistoryEntry['outcome'], string> = {
    'live': `is live, after ${(durationMs / 1000).toFixed(1)} s`,
    'failed': 'failed',
    'interrupted': 'was interrupted',
    'migrated': 'was migrated only',
    'held': 'is held',
    'rolled-back': 'was rolled back',
    'aborted': 'was discarded',
  }
  return plainText(`${what} ${words[outcome] ?? outcome}${reason === undefined ? '' : `: ${reason.split('\n')[0]}`}.`).replace(/\.\.$/, '.')
}
