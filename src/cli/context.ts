import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '../config/load.js'
import { quote } from '../config/quote.js'
import type { InstalledApp, InstalledUnits } from '../deploy/app.js'
import { storyOf } from '../deploy/story.js'
import { notInstalled } from '../deploy/install/uninstall.js'
import { HoldfastError } from '../errors.js'
import { readManifest } from '../release/manifest.js'
import { pathsOf, placesOf, type Places } from '../release/paths.js'
import { writeJournal } from '../runtime/journal.js'
import { Systemctl } from '../systemd/systemctl.js'

/** What every command shares on its command line. */
export interface GlobalOptions {
  user?: boolean
}

export const placesFor = ({ user }: GlobalOptions): Places => placesOf(user === true ? 'user' : 'system')

/** The absolute real path of this program's entry, which the units run. */
export const cliPath = (): string => realpathSync(fileURLToPath(new URL('main.js', import.meta.url)))

/** @throws HoldfastError `usage`, `not-installed`, `config-invalid` or `state-corrupt` */
export function openApp(app: string, options: GlobalOptions): InstalledApp {
  const { node, ...units } = openUnits(app, options)
  const config = loadConfig(units.paths.config, { installed: true })
  if (config.app !== app) throw new HoldfastError('config-invalid', `${units.paths.config} is the configuration of ${config.app}, not of ${app}`, { hint: `write app = "${app}" there, or install ${app} again` })
  return { ...units, node, config }
}

/** @throws HoldfastError `usage`, `not-installed` or `state-corrupt` */
export function openUnits(app: string, options: GlobalOptions): InstalledUnits & { node: string } {
  const places = placesFor(options)
  const paths = pathsOf(places, app)
  const manifest = readManifest(paths)
  if (manifest === undefined) throw notInstalled(places, app)
  if (manifest.app !== app) throw new HoldfastError('state-corrupt', `${paths.state}/manifest.json is that of ${quote(manifest.app)}, not of ${app}`, { hint: `holdfast install, in the folder with the holdfast.toml of ${app}` })
  return {
    paths,
    units: manifest.units.map(({ name }) => name),
    systemd: new Systemctl(places.scope),
    story: storyOf(app, writeJournal),
    node: manifest.node,
  }
}
