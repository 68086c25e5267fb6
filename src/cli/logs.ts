import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { notInstalled } from '../deploy/install/uninstall.js'
import { HoldfastError } from '../errors.js'
import { readManifest, type Manifest } from '../release/manifest.js'
import { pathsOf, type Scope } from '../release/paths.js'
import { deployService, expiryService, healthPattern, hookService, instancePattern, instancesSlice, notifyPattern } from '../units/names.js'
import { placesFor, type GlobalOptions } from './context.js'

/** Shows an app's journal by journalctl(1). @returns its exit status */
export function logsCommand(app: string, journalOptions: readonly string[], options: GlobalOptions): Promise<number> {
  const places = placesFor(options)
  const manifest = readManifest(pathsOf(places, app))
  if (manifest === undefined) throw notInstalled(places, app)
  return runInTerminal('journalctl', [...unitOptions(manifest, places.scope), ...journalOptions])
}

/**
 * The units of one app by their exact names: a pattern such as `shop-*` would show another app's too.
 * Those of the instances and of notifications match nobody else's: no app's name holds an `@` or a `_`. journalctl(1) looks once, as it
 * starts, what a pattern matches: with `--follow`, the instances of a later generation are seen by their slice.
 */
export function unitOptions({ app, units }: Manifest, scope: Scope): string[] {
  const names = [...units.map(({ name }) => name).filter((name) => !name.includes('@')), instancePattern(app), instancesSlice(app, scope), deployService(app), hookService(app), expiryService(app), healthPattern(app), notifyPattern(app)]
  // Not `--user --unit`, which opens a journal file of the user's own alone: there is none with Storage=volatile.
  return names.map((name) => `--${scope === 'user' ? 'user-unit' : 'unit'}=${name}`)
}

/** In the place of this process, as far as node can: the terminal is the program's, and so is Ctrl-C. */
function runInTerminal(program: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit' })
    const ignore = (): void => {}
    process.on('SIGINT', ignore)
    const forward = (signal: NodeJS.Signals): void => void child.kill(signal)
    process.on('SIGTERM', forward)
    child.on('error', (error) => {
      reject(new HoldfastError('machine-unfit', `${program} cannot be run: ${error.message}`, { hint: 'holdfast doctor', cause: error }))
    })
    child.on('exit', (status, signal) => {
      process.off('SIGINT', ignore)
      process.off('SIGTERM', forward)
      resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal]))
    })
  })
}
