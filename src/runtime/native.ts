import { createRequire } from 'node:module'

/** The one call of the package `sd-notify` that the runtime uses: sd_notify(3), which never throws and answers nothing. */
export interface SdNotify {
  sendState(state: string): void
}

/** The static functions of the package `systemd-journald`, one per level; each is one sd_journal_sendv(3). */
export type Journald = Record<
  'emerg' | 'alert' | 'crit' | 'err' | 'warning' | 'notice' | 'info' | 'debug',
  (message: string, fields: Record<string, string>) => void
>

export type NativePackage = { loaded: true } | { loaded: false; reason: string }

/** What `holdfast doctor` shows: which native package works, or why it does not. */
export interface NativeStatus {
  'sd-notify': NativePackage
  'systemd-journald': NativePackage
}

type Loaded<T> = { module: T } | { reason: string }

const require = createRequire(import.meta.url)
let sdNotify: Loaded<SdNotify> | undefined
let journald: Loaded<Journald> | undefined

/**
 * Loads an optional package once. Anything may go wrong here: not installed, its install script blocked by npm,
 * built for another Node, libsystemd gone, a second thread; some of it throws without a `code`.
 */
function load<T>(name: string, isUsable: (module: T) => boolean): Loaded<T> {
  if (process.env.HOLDFAST_NATIVE === 'off') return { reason: 'HOLDFAST_NATIVE=off is set' }
  try {
    const module = require(name) as T
    return isUsable(module) ? { module } : { reason: `${name} does not export what is expected of it` }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return { reason: text.split('\n')[0] || 'loading it failed' }
  }
}

/** `sd-notify`, or undefined where it does not load or HOLDFAST_NATIVE=off is set. Never throws. */
export function loadSdNotify(): SdNotify | undefined {
  sdNotify ??= load<SdNotify>('sd-notify', (module) => typeof module.sendState === 'function')
  return 'module' in sdNotify ? sdNotify.module : undefined
}

/** `systemd-journald`, or undefined where it does not load or HOLDFAST_NATIVE=off is set. Never throws. */
export function loadJournald(): Journald | undefined {
  journald ??= load<Journald>('systemd-journald', (module) => typeof module.info === 'function')
  return 'module' in journald ? journald.module : undefined
}

/** Tries to load both packages and says what came of it. Never throws. */
export function nativeStatus(): NativeStatus {
  loadSdNotify()
  loadJournald()
  const describe = (loaded: Loaded<unknown> | undefined): NativePackage =>
    loaded && 'reason' in loaded ? { loaded: false, reason: loaded.reason } : { loaded: true }
  return { 'sd-notify': describe(sdNotify), 'systemd-journald': describe(journald) }
}
