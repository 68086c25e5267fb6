import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The package's own folder. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

const cache = join(root, 'node_modules/.cache')
const stamp = join(cache, 'holdfast-built')
const lock = join(cache, 'holdfast-building')

/** Makes `dist/` as new as `src/`: the scenarios import the package by its name. Several test files may ask at once. */
export async function ensureBuilt(): Promise<void> {
  mkdirSync(cache, { recursive: true })
  const deadline = Date.now() + 60_000
  // A build takes a second: a lock that is older was left behind by a run that was killed.
  if (Date.now() - modified(lock) > 60_000 && modified(lock) > 0) rmdirSync(lock)
  while (!acquire()) {
    if (Date.now() > deadline) throw new Error(`${lock} is held by a build that does not end: remove it`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  try {
    if (newest(join(root, 'src')) < modified(stamp) && modified(join(root, 'dist/runtime/index.js')) > 0) return
    const started = new Date()
    const { status, stdout } = spawnSync('npm', ['run', '--silent', 'build'], { cwd: root, encoding: 'utf8' })
    if (status !== 0) throw new Error(`the build failed:\n${stdout}`)
    writeFileSync(stamp, started.toISOString())
  } finally {
    rmdirSync(lock)
  }
}

function acquire(): boolean {
  try {
    mkdirSync(lock)
    return true
  } catch {
    return false
  }
}

function modified(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

function newest(folder: string): number {
  return Math.max(0, ...readdirSync(folder, { withFileTypes: true, recursive: true }).map((entry) => modified(join(entry.parentPath, entry.name))))
}
