import { Runtime } from './runtime.js'

/** Of what is kept under the key below; a copy of the package with another number leaves this process alone. */
const stateVersion = 3
const key = Symbol.for('holdfast.runtime')

interface Shared {
  version: number
  runtime: Runtime
}

/**
 * The one runtime of this process. `holdfast` and `holdfast/register` may be two copies of the package, such as a global one
 * for the preload and the app's own: whichever loads first owns sockets, readiness and drain, and the other uses it.
 */
export function sharedRuntime(): Runtime {
  const globals = globalThis as { [key]?: Shared }
  const existing = globals[key]
  if (existing?.version === stateVersion) return existing.runtime
  const runtime = new Runtime({ inert: existing !== undefined })
  if (existing) {
    runtime.log.warn(`two incompatible copies of holdfast are loaded (state ${existing.version} and ${stateVersion}): the second does nothing`)
  }
  Object.defineProperty(globals, key, existing ? { value: existing } : { value: { version: stateVersion, runtime } satisfies Shared })
  return runtime
}
