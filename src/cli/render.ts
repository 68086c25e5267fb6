import { mkdirSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { loadConfig } from '../config/load.js'
import { homePathsOf } from '../deploy/install/install.js'
import { locatePrograms } from '../deploy/install/programs.js'
import { HoldfastError } from '../errors.js'
import { pathsOf } from '../release/paths.js'
import { renderUnits } from '../units/render.js'
import { cliPath, placesFor, type GlobalOptions } from './context.js'
import { print } from './output.js'

/** Shows just what `install` would write, or writes it to a folder of the reader's. */
export function renderCommand(file: string, folder: string | undefined, options: GlobalOptions): void {
  const config = loadConfig(file)
  const places = placesFor(options)
  const programs = locatePrograms(process.execPath, cliPath())
  const { instances, run } = pathsOf(places, config.app)
  const units = renderUnits(config, { scope: places.scope, ...programs, homePaths: homePathsOf(config, programs), instances, run })
  if (folder === undefined) {
    for (const { name, text } of units) print(`# ${join(places.units, name)}\n${text}`)
    return
  }
  requireFolder(folder, places.units)
  for (const { name, text } of units) writeFileSync(join(folder, name), text)
  print(`${units.length} units in ${folder}`)
}

function requireFolder(folder: string, unitFolder: string): void {
  const stat = statSync(folder, { throwIfNoEntry: false })
  if (stat !== undefined && !stat.isDirectory()) throw new HoldfastError('usage', `${folder} is not a folder`, { hint: 'name a folder to write the units to' })
  const real = stat === undefined ? resolve(folder) : realpathSync(folder)
  if (real === unitFolder) throw new HoldfastError('usage', `${folder} is where systemd reads its units`, { hint: 'holdfast install puts them there, with all that belongs to them' })
  mkdirSync(folder, { recursive: true, mode: 0o755 })
}
