/** The steps of a deploy, in their order. */
export const stepNames = ['fetch', 'unpack', 'verify', 'install', 'migrate', 'seal', 'record', 'handover', 'prune'] as const
export type StepName = (typeof stepNames)[number]

/** What `holdfast deploy --json` prints, one object per line; documented in docs/cli.md, and stable. Times are ISO 8601, UTC. */
export type DeployEvent =
  | { type: 'deploy'; id: string; app: string; by: string; what: string; at: string; steps: StepName[] }
  | { type: 'step'; step: StepName; state: 'began' | 'done' | 'skipped' | 'failed'; at: string; durationMs?: number; note?: string }
  | { type: 'progress'; step: StepName; done: number; total?: number; unit: 'bytes' | 'files' }
  /** A line of a hook, or of the handover's story. */
  | { type: 'output'; step: StepName; line: string }
  | { type: 'note'; text: string }
  | {
      type: 'end'
      outcome: 'live' | 'migrated' | 'failed'
      /** The command's exit status. */
      status: 0 | 1 | 2
      at: string
      durationMs: number
      release?: string
      generation?: number
      failure?: { step: StepName; message: string; log: string[]; hint?: string }
    }
