import { lineText, linesText, plainText } from '../foreign-text.js'
import { stepNames, type DeployEvent, type OperationKind, type StepName } from './progress.js'

/** The longest line that is read as an event, in bytes: the end of a deploy has lines of its hook in it. */
export const longestEvent = 4 << 20

type Fields = Record<string, unknown>
type End = DeployEvent & { type: 'end' }

const kinds: readonly OperationKind[] = ['deploy', 'rollback', 'apply', 'promote', 'abort']
const states: readonly (DeployEvent & { type: 'step' })['state'][] = ['began', 'done', 'skipped', 'failed']
const outcomes: readonly End['outcome'][] = ['live', 'held', 'aborted', 'migrated', 'unchanged', 'failed']

/**
 * One line of events; none where it is none: it may come from another machine, or be torn. What is in it of text has
 * nothing that a terminal would act on. Fields that are not known are left out.
 */
export function parseEvent(line: string): DeployEvent[] {
  const fields = parseObject(line)
  if (fields === undefined) return []
  try {
    return [readEvent(fields)]
  } catch (error) {
    if (error instanceof Malformed) return []
    throw error
  }
}

/** What the other end of `--to` says first: the version of its holdfast. Undefined for any other line. */
export function parseReady(line: string): string | undefined {
  const { type, version } = parseObject(line) ?? {}
  return type === 'ready' ? (typeof version === 'string' ? plainText(version) : 'unknown') : undefined
}

/** A field is not what the type of the event has there. */
class Malformed extends Error {}

function readEvent(fields: Fields): DeployEvent {
  const words = (name: string): string => lineText(text(fields[name])).trim()
  const step = (): StepName => one(stepNames, fields['step'])
  switch (fields['type']) {
    case 'deploy':
      return {
        type: 'deploy', kind: one(kinds, fields['kind']), id: words('id'), app: words('app'), by: words('by'), what: words('what'), at: words('at'),
        steps: list(fields['steps']).map((name) => one(stepNames, name)),
      }
    case 'step':
      return { type: 'step', step: step(), state: one(states, fields['state']), at: words('at'), ...optional(fields, 'durationMs', count), ...optional(fields, 'note', (note) => lineText(text(note))) }
    case 'progress':
      return { type: 'progress', step: step(), done: count(fields['done']), ...optional(fields, 'total', count), unit: one(['bytes', 'files'], fields['unit']) }
    case 'output':
      return { type: 'output', step: step(), line: lineText(text(fields['line'])) }
    case 'note':
      return { type: 'note', text: linesText(text(fields['text'])) }
    case 'end':
      return {
        type: 'end', outcome: one(outcomes, fields['outcome']), status: one([0, 1, 2], fields['status']), at: words('at'), durationMs: count(fields['durationMs']),
        ...optional(fields, 'release', (release) => lineText(text(release))), ...optional(fields, 'generation', count), ...optional(fields, 'failure', readFailure),
      }
    default:
      throw new Malformed()
  }
}

function readFailure(value: unknown): NonNullable<End['failure']> {
  if (typeof value !== 'object' || value === null) throw new Malformed()
  const { step, message, log, ...rest } = value as Fields
  return {
    step: one(stepNames, step), message: linesText(text(message)), log: list(log).map((line) => lineText(text(line))),
    ...optional(rest, 'hint', (hint) => lineText(text(hint))),
  }
}

function parseObject(line: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Fields) : undefined
  } catch {
    return undefined
  }
}

function optional<N extends string, T>(fields: Fields, name: N, read: (value: unknown) => T): Partial<Record<N, T>> {
  return fields[name] === undefined ? {} : ({ [name]: read(fields[name]) } as Record<N, T>)
}

function one<T>(known: readonly T[], value: unknown): T {
  if (known.includes(value as T)) return value as T
  throw new Malformed()
}

function text(value: unknown): string {
  if (typeof value === 'string') return value
  throw new Malformed()
}

function count(value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
  throw new Malformed()
}

function list(value: unknown): unknown[] {
  if (Array.isArray(value)) return value as unknown[]
  throw new Malformed()
}
