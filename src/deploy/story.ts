import { appendFileSync } from 'node:fs'
import type { DeployEvent } from './operation/progress.js'

/**
 * The story of an app's releases, as the journal tells it: one plain sentence per event, with fields
 * for machines. `MESSAGE_ID`s are for ever: `units/holdfast.catalog` explains each (`journalctl -x`).
 */
export const events = {
  'deploy-started': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f901', priority: 6 },
  'candidate-ready': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f902', priority: 6 },
  'deploy-live': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f903', priority: 5 },
  'deploy-failed': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f904', priority: 3 },
  'drain-started': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f905', priority: 6 },
  'leftover-undone': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f906', priority: 4 },
  'nothing-recorded': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f907', priority: 5 },
  'app-stopping': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f908', priority: 5 },
  'app-stopped': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f909', priority: 5 },
  'activation': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f90a', priority: 5 },
  'activation-delayed': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f90b', priority: 4 },
  'setting-ignored': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f90c', priority: 4 },
  'record-incomplete': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f90d', priority: 4 },
  'drain-refused': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f90e', priority: 3 },
  'shutdown-began': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f90f', priority: 5 },
  'shutdown-killed': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f910', priority: 4 },
  'record-rebuilt': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f911', priority: 4 },
  'version-fetched': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f916', priority: 6 },
  'let-in': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f917', priority: 6 },
  'held': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f918', priority: 5 },
  'aborted': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f919', priority: 5 },
  'rolled-back': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f91a', priority: 3 },
  'live-revived': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f91b', priority: 4 },
  'after-drain-began': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f912', priority: 6 },
  'after-drain-done': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f913', priority: 5 },
  'after-drain-failed': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f914', priority: 3 },
  'after-drain-cancelled': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f915', priority: 5 },
  'listener-repaired': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f940', priority: 4 },
  'listener-fault': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f941', priority: 3 },
  'notify-failed': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f960', priority: 4 },
  'deploy-begun': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f930', priority: 5 },
  'deploy-ended': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f931', priority: 3 },
  'deploy-interrupted': { id: '4c1f7a52e0b84a0f9d6e2b7c15a3f932', priority: 4 },
} as const satisfies Record<string, { id: string; priority: number }>

export type Event = keyof typeof events

export interface EventFields {
  generation?: number
  release?: string
  /** Of the generation that was live before. */
  previousGeneration?: number
  previousRelease?: string
  /** How long the step took, in milliseconds. */
  durationMs?: number
}

export interface Story {
  tell(event: Event, message: string, fields?: EventFields): void
}

/** Writes one entry of the journal under these field names; tells nothing of how it went. */
export type WriteEntry = (entry: { MESSAGE: string; PRIORITY: number } & Record<string, string | number>) => void

export function storyOf(app: string, write: WriteEntry): Story {
  return {
    tell(event, message, fields = {}) {
      const { id, priority } = events[event]
      const entry: Parameters<WriteEntry>[0] = {
        MESSAGE: message,
        MESSAGE_ID: id,
        PRIORITY: priority,
        SYSLOG_IDENTIFIER: 'holdfast',
        HOLDFAST_APP: app,
        HOLDFAST_PHASE: event,
      }
      if (fields.generation !== undefined) entry['HOLDFAST_GENERATION'] = String(fields.generation)
      if (fields.release !== undefined) entry['HOLDFAST_RELEASE'] = fields.release
      if (fields.previousGeneration !== undefined) entry['HOLDFAST_PREVIOUS_GENERATION'] = String(fields.previousGeneration)
      if (fields.previousRelease !== undefined) entry['HOLDFAST_PREVIOUS_RELEASE'] = fields.previousRelease
      if (fields.durationMs !== undefined) entry['HOLDFAST_DURATION_MS'] = String(Math.round(fields.durationMs))
      write(entry)
    },
  }
}

/** A story that is told to a file of events as well: what `holdfast deploy` shows of the handover. */
export function tellTo(story: Story, events: string): Story {
  return {
    tell(event, message, fields) {
      story.tell(event, message, fields)
      try {
        for (const line of message.split('\n')) appendFileSync(events, `${JSON.stringify({ type: 'output', step: 'handover', line } satisfies DeployEvent)}\n`)
      } catch {
        // The journal has it.
      }
    },
  }
}
