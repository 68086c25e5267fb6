import type { Config, HookCommand } from '../config/model.js'
import type { InstalledApp } from './app.js'

/** One run of a hook. */
export interface HookRun {
  name: 'install' | 'migrate' | 'after_drain'
  command: HookCommand
  /** Absolute path of the code. */
  folder: string
  /** Whether the app's user may write there. */
  writable: boolean
  release: { id: string }
  config: Config
  timeoutMs: number
  /** A unit whose end is the hook's. */
  boundTo?: string
  onLine(line: string): void
}

export type HookResult = { ok: true; durationMs: number } | { ok: false; reason: string; log: string[]; durationMs: number }

export async function runHook(_app: InstalledApp, _run: HookRun): Promise<HookResult> {
  throw new Error('not built yet')
}
