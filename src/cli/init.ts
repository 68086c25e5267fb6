import { lstatSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { detectProject } from '../config/detect-project.js'
import { parseConfig } from '../config/load.js'
import { renderStarter } from '../config/starter-text.js'
import { HoldfastError } from '../errors.js'

/** What `holdfast init` would write. */
export interface InitPlan {
  /** The absolute path of the holdfast.toml. */
  file: string
  text: string
  /** What a person should look at, one sentence each. */
  notes: string[]
}

/** Plans a holdfast.toml for a project's folder; reads alone. Throws `usage` where there is one already. */
export function planInit(folder: string): InitPlan {
  const place = resolve(folder)
  if (!statSync(place, { throwIfNoEntry: false })?.isDirectory()) {
    throw new HoldfastError('usage', `there is no folder ${place}`, { hint: 'cd into the folder of the app, then run: holdfast init' })
  }
  const file = join(place, 'holdfast.toml')
  if (lstatSync(file, { throwIfNoEntry: false })) throw existing(file)
  const project = detectProject(place)
  const text = renderStarter(project)
  const notes = [...project.notes]
  if (!project.hasRuntime && project.command[0] === 'node') {
    notes.push('unless the app takes its sockets from LISTEN_FDS itself, run `npm install holdfast`, and preload it as the file shows')
  }
  // A starter that would not pass its own check is a bug; better said now than by `install`.
  parseConfig(text, { file, folder: place })
  return { file, text, notes }
}

/** Writes the planned holdfast.toml and says where. Never overwrites: throws `usage` where there is one already. */
export function init(folder: string): { file: string; notes: string[] } {
  const { file, text, notes } = planInit(folder)
  try {
    writeFileSync(file, text, { flag: 'wx' })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw existing(file)
    throw new HoldfastError('usage', `${file} cannot be written (${code})`, { hint: `run it as a user who may write there: ls -ld ${resolve(folder)}`, cause: error })
  }
  return { file, notes }
}

function existing(file: string): HoldfastError {
  return new HoldfastError('usage', `${file} exists already, and is never overwritten`, { hint: `look at what it says: holdfast check ${file}` })
}
