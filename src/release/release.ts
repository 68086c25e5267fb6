import type { ReleaseSource } from './source-spec.js'

/** A release: an immutable directory of code with an id, and beside it `<id>.json`. Readable by all; holds no secret. */
export interface Release {
  id: string
  /** ISO 8601, UTC. */
  createdAt: string
  source: ReleaseSource
  /** An archive that was unpacked over the source. */
  overlay?: { name: string; sha256: string }
  /** What the release calls itself: from its version file, `VERSION` or package.json. */
  version?: string
  /** Of the source as it was taken; an equal one means that nothing changed. */
  fingerprint: string
  /** Of the code on disk, in bytes; absent for code that runs in place. */
  sizeBytes?: number
  /** How its dependencies came to be there; absent where nobody looked. */
  dependencies?: { outcome: 'installed' | 'reused' | 'skipped' | 'none'; why?: string; node: string }
  outcome: 'untried' | 'good' | 'failed'
  /** Why it failed, in one sentence. */
  failure?: string
  /** Its `hooks.after_drain`, once that was begun: from then on, what older releases need may be gone. */
  afterDrain?: { at: string; outcome: 'begun' | 'done' | 'failed' }
}
