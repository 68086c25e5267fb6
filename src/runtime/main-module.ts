import module from 'node:module'

const pollMs = 10

/** The part of module.registerHooks() (node 22.15) that is used here; a node without it leaves `register` undefined. */
interface Hooks {
  registerHooks?(hooks: {
    resolve(
      specifier: string,
      context: { parentURL?: string | undefined },
      next: (specifier: string, context: object) => { url: string },
    ): { url: string }
  }): { deregister(): void }
}

/**
 * Settles when the main module has been evaluated, its top-level awaits included. To be called from a preload. There is no event
 * for that, so this takes what each node offers:
 * - node 20 has a listener of its own on `exit`, which detects an unsettled top-level await, for as long as it is pending;
 * - from node 22.15 on a hook tells when the main module is being loaded, and importing it then gives the same evaluation;
 * - otherwise the next turn of the event loop has to do, which is right for everything but a top-level await.
 */
export function whenMainEvaluated(): Promise<void> {
  const { registerHooks } = module as Hooks
  if (!isMainPending() && registerHooks && process.argv[1] !== undefined) return whenHookedMainEvaluated(registerHooks)
  return poll(() => !isMainPending())
}

function isMainPending(): boolean {
  return process.listeners('exit').some((listener) => listener.name === 'handleProcessExit')
}

async function whenHookedMainEvaluated(registerHooks: NonNullable<Hooks['registerHooks']>): Promise<void> {
  let mainUrl: string | undefined
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      const resolved = next(specifier, context)
      // Only the main module has no parent; a preload's is the working directory.
      if (context.parentURL === undefined) mainUrl ??= resolved.url
      return resolved
    },
  })
  await poll(() => mainUrl !== undefined || process.mainModule !== undefined)
  hooks.deregister()
  if (process.mainModule) return poll(() => process.mainModule?.loaded === true)
  // A main module that fails ends the process by itself.
  await import(mainUrl ?? '').catch(() => new Promise(() => {}))
}

/** Looks between two turns of the event loop, without keeping the process alive. */
function poll(holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (holds()) setImmediate(resolve)
      else setTimeout(look, pollMs).unref()
    }
    setImmediate(look)
  })
}
