import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../config/load.js'
import { pathsOf } from '../release/paths.js'
import { renderUnits } from '../units/render.js'
import { cliPath, placesFor, type GlobalOptions } from './context.js'
import { print } from './output.js'

export function renderCommand(file: string, folder: string | undefined, options: GlobalOptions): void {
  const config = loadConfig(file)
  const places = placesFor(options)
  const units = renderUnits(config, {
    scope: places.scope, node: process.execPath, cli: cliPath(), homePaths: [], instances: pathsOf(places, config.app).instances,
  })
  if (folder === undefined) {
    for (const { name, text } of units) print(`# ${join(places.units, name)}\n${text}`)
    return
  }
  mkdirSync(folder, { recursive: true })
  for (const { name, text } of units) writeFileSync(join(folder, name), text)
  print(`${units.length} units in ${folder}`)
}
