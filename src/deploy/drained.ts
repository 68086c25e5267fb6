import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AppPaths } from '../release/paths.js'
import { makeRunFolder } from '../release/run-folder.js'
import { tryReadLive } from '../release/state.js'
import { readRelease } from '../release/store.js'
import type { InstalledApp } from './app.js'
import { readDrains } from './observe/drain-sums.js'
import { notify } from './notify.js'
import { hasEnded, observeInstances, type RunningInstance } from './observe.js'
import type { Handover } from './plan.js'

/**
 * `drained` of `[notify]`: the last instance of a generation that was live has ended. Who is to be told of waits as a file
 * below /run, not in a process: each older instance starts the unit of hooks.after_drain as it ends. At best: a full /run,
 * or a reboot, and nobody is told.
 */

interface Retired {
  generation: number
  release: string
  version: string | null
  /** Milliseconds since 1970: when it was told to drain, all of it. */
  since: number
  /** When the handover began: some of its processes may have been replaced before. */
  begin: number
}

const folderOf = ({ run }: AppPaths): string => join(run, 'drained')

/** Whether somebody is to be told of the end of what was live. */
export const isToldOfDrains = ({ config }: Pick<InstalledApp, 'config'>): boolean => config.notify !== undefined

/** Before the order to drain. @param older what of older generations has not ended */
export function expectDrained({ app, state: { live }, begin }: Handover, older: readonly RunningInstance[]): void {
  // Others were told to end because they had failed, or were told of before.
  if (!isToldOfDrains(app) || live === undefined || !older.some(({ generation }) => generation === live.generation)) return
  const { paths } = app
  const since = Date.now()
  const retired: Retired = { generation: live.generation, release: live.release, version: versionOf(paths, live.release), since, begin: since - (performance.now() - begin) }
  try {
    makeRunFolder(paths)
    mkdirSync(folderOf(paths), { recursive: true, mode: 0o755 })
    writeFileSync(join(folderOf(paths), String(live.generation)), JSON.stringify(retired), { mode: 0o644 })
  } catch {
    // See above.
  }
}

/** Tells of those that have ended, each once. Never fails. */
export async function tellDrained(app: InstalledApp): Promise<void> {
  try {
    const waiting = listWaiting(app.paths)
    if (waiting.length === 0) return
    const running = new Set((await observeInstances(app.systemd, app.paths.app)).filter((instance) => !hasEnded(instance)).map(({ generation }) => generation))
    const live = tryReadLive(app.paths)?.generation
    for (const generation of waiting) if (generation !== live && !running.has(generation)) await tellOne(app, generation)
  } catch {
    // See above.
  }
}

async function tellOne(app: InstalledApp, generation: number): Promise<void> {
  const { paths, systemd } = app
  const retired = take(paths, generation)
  if (retired === undefined) return
  const { release, version, since, begin } = retired
  const now = Date.now()
  const drain = { generation, since: begin }
  const figures = (await readDrains(paths, systemd, [drain])).get(drain)
  notify(app, {
    event: 'drained', app: paths.app, at: new Date(now).toISOString(), generation, release, durationMs: now - since,
    ...(version === null ? {} : { version }), ...(figures === undefined ? {} : { figures }),
  })
}

/** Whoever takes the file away tells, and nobody else: two may be looking. */
function take(paths: AppPaths, generation: number): Retired | undefined {
  const file = join(folderOf(paths), String(generation))
  try {
    const text = readFileSync(file, 'utf8')
    rmSync(file)
    return JSON.parse(text) as Retired
  } catch {
    return undefined // somebody else was first, or /run was full when it was written
  }
}

function listWaiting(paths: AppPaths): number[] {
  try {
    return readdirSync(folderOf(paths)).filter((name) => /^[1-9]\d*$/.test(name)).map(Number)
  } catch {
    return []
  }
}

function versionOf(paths: AppPaths, release: string): string | null {
  try {
    return readRelease(paths, release).version ?? null
  } catch {
    return null
  }
}
