/** The steps of all operations, in their order. */
export const stepNames = ['fetch', 'unpack', 'verify', 'install', 'migrate', 'seal', 'record', 'handover', 'discard', 'prune'] as const
export type StepName = (typeof stepNames)[number]

export type OperationKind = 'deploy' | 'rollback' | 'apply' | 'promote' | 'abort'

/** What somebody does, such as `deploys shop.tgz to shop`; without an app, of the one that is being talked of. */
export function operationWords(kind: OperationKind, what: string, app?: string): string {
  switch (kind) {
    case 'deploy':
      return `deploys ${what}${app === undefined ? '' : ` to ${app}`}`
    case 'rollback':
      return `rolls ${app === undefined ? '' : `${app} `}back to ${what}`
    case 'apply':
      return `applies ${what}${app === undefined ? '' : ` to ${app}`}`
    case 'promote':
      return `promotes ${what}${app === undefined ? '' : ` of ${app}`}`
    case 'abort':
      return `aborts ${what}${app === undefined ? '' : ` of ${app}`}`
  }
}

/** The begin of a sentence about an operation, which what is brought up stands behind. */
export const operationNouns: Record<OperationKind, string> = { deploy: 'The deploy of', rollback: 'The rollback to', apply: 'The apply of', promote: 'The promotion of', abort: 'The abort of' }

/** What each operation goes through. */
export const stepsOf: Record<OperationKind, readonly StepName[]> = {
  deploy: stepNames.filter((step) => step !== 'discard'),
  rollback: ['record', 'handover', 'prune'],
  apply: ['fetch', 'record', 'handover', 'prune'],
  promote: ['record', 'handover', 'prune'],
  abort: ['discard', 'prune'],
}

/** What `holdfast deploy --json`, `rollback --json` and `apply --json` print, one object per line; documented in docs/cli.md, and stable. Times are ISO 8601, UTC. */
export type DeployEvent =
  | { type: 'deploy'; kind: OperationKind; id: string; app: string; by: string; what: string; at: string; steps: StepName[] }
  | { type: 'step'; step: StepName; state: 'began' | 'done' | 'skipped' | 'failed'; at: string; durationMs?: number; note?: string }
  | { type: 'progress'; step: StepName; done: number; total?: number; unit: 'bytes' | 'files' }
  /** A line of a hook, or of the handover's story. */
  | { type: 'output'; step: StepName; line: string }
  | { type: 'note'; text: string }
  | {
      type: 'end'
      /** `held`: it waits for a `promote` or an `abort`. `aborted`: what was held is discarded. */
      outcome: 'live' | 'held' | 'aborted' | 'migrated' | 'unchanged' | 'failed'
      /** The command's exit status. */
      status: 0 | 1 | 2
      at: string
      durationMs: number
      release?: string
      generation?: number
      failure?: { step: StepName; message: string; log: string[]; hint?: string }
    }
