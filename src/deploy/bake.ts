import { setTimeout as delay } from 'node:timers/promises'
import type { Bake, Config, Health } from '../config/model.js'
import type { Release } from '../release/release.js'
import type { InstalledApp } from './app.js'

export interface Baking {
  bake: Bake
  health?: Health
  config: Config
  release: Release
  fresh: { generation: number; process: number; unit: string }[]
  older: { generation: number; process: number; unit: string }[]
  forMs: number
  signal: AbortSignal
  tell(text: string): void
}

export async function bake(_app: InstalledApp, { forMs, signal }: Baking): Promise<{ ok: true } | { ok: false; unit: string; reason: string }> {
  await delay(forMs, undefined, { signal })
  return { ok: true }
}
