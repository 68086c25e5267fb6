import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { quoteWord } from '../config/shell.js'
import type { InstanceEnvironment } from '../runtime/environment.js'
import { syncFolder, writeDurably } from './durable-file.js'
import { removeDropIn, writeDropIn } from './instance-drop-in.js'
import type { AppPaths } from './paths.js'
import { clearStopReason, type InstanceNumber } from './stop-reason.js'

/**
 * The files of one instance, which its unit reads at each start: `command`, `environment`, `secrets`
 * and a link to the release. Root's own, so that a crash brings back what this generation was started with.
 */
export interface Instance {
  generation: number
  process: number
  /** Absolute path of the code. */
  folder: string
  /** Argument vector; the first is an absolute path, or one relative to the release that holds a slash. */
  command: string[]
  /** The app's own variables. */
  env: Record<string, string>
  /** What Holdfast tells the runtime; wins over the app's. */
  holdfast: InstanceEnvironment
  /** Contents of `env_file` at the time of the handover. */
  secrets: Uint8Array | undefined
  /** Settings of this instance's unit alone, as a drop-in's text. */
  dropIn: string
}

export const instanceFolder = (paths: AppPaths, generation: number, process: number): string =>
  join(paths.instances, `${generation}.${process}`)

export function writeInstance(paths: AppPaths, instance: Instance): void {
  const folder = instanceFolder(paths, instance.generation, instance.process)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  symlinkSync(instance.folder, join(folder, 'release'))
  writeDurably(join(folder, 'command'), commandScript(instance.command), 0o755)
  const { secrets } = instance
  if (secrets !== undefined) writeDurably(join(folder, 'secrets'), secrets, 0o600)
  // What stands in `env` may be a secret too; systemd reads the file as root.
  const own = Object.entries(instance.env)
  writeDurably(join(folder, 'environment'), environmentFile([...own, ...Object.entries(instance.holdfast)]), 0o600)
  syncFolder(paths.instances)
  clearStopReason(paths, [instance])
  writeDropIn(paths, instance, instance.dropIn)
}

/** The generations that have files, with the release each runs from, as its link tells. */
export function listInstanceFolders(paths: AppPaths): { generation: number; process: number; name: string; target: string }[] {
  let names: string[]
  try {
    names = readdirSync(paths.instances)
  } catch {
    return []
  }
  return names.flatMap((name) => {
    const match = /^([1-9]\d*)\.([1-9]\d*)$/.exec(name)
    if (match === null) return []
    const link = join(paths.instances, name, 'release')
    let target = ''
    try {
      target = readlinkSync(link)
    } catch {
      // Half-written: it belongs to a handover that was killed.
    }
    return [{ generation: Number(match[1]), process: Number(match[2]), name, target }]
  })
}

/** The highest number of a generation that has files; 0 without any. */
export const highestGeneration = (paths: AppPaths): number => Math.max(0, ...listInstanceFolders(paths).map(({ generation }) => generation))

export function removeInstance(paths: AppPaths, instance: InstanceNumber): void {
  removeDropIn(paths, instance)
  clearStopReason(paths, [instance])
  rmSync(instanceFolder(paths, instance.generation, instance.process), { recursive: true, force: true })
}

/** What an instance was told of its limit at a shutdown of the machine; undefined where its files do not tell. */
export function readShutdownTimeoutMs(paths: AppPaths, { generation, process }: InstanceNumber): number | undefined {
  try {
    const text = readFileSync(join(instanceFolder(paths, generation, process), 'environment'), 'utf8')
    const ms = /^HOLDFAST_SHUTDOWN_TIMEOUT_MS="(\d+)"$/m.exec(text)?.[1]
    return ms === undefined ? undefined : Number(ms)
  } catch {
    return undefined
  }
}

/** `exec` keeps the process id, which LISTEN_PID names; the shell expands nothing in single quotes. */
export function commandScript(command: readonly string[]): string {
  return `#!/bin/sh\nexec ${command.map(quoteWord).join(' ')}\n`
}

/** The format of EnvironmentFile= in systemd.exec(5): in double quotes, a backslash escapes `"`, `\`, `$` and a backtick. */
export function environmentFile(entries: readonly (readonly [string, string])[]): string {
  return entries.map(([name, value]) => `${name}="${value.replace(/["\\$`]/g, '\\$&')}"\n`).join('')
}
