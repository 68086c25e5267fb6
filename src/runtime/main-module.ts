const pollMs = 10

/**
 * Settles when the main module has been evaluated, its top-level awaits included. There is no event for that. But while it is
 * pending, with `--import` and so for every kind of main module, node has a listener of its own on `exit` that detects an
 * unsettled top-level await; this waits until that one is gone. Should a later node do without it, the next turn of the event
 * loop has to do, which is right for everything but a top-level await.
 */
export function whenMainEvaluated(): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (isMainPending()) setTimeout(look, pollMs).unref()
      else setImmediate(resolve)
    }
    setImmediate(look)
  })
}

function isMainPending(): boolean {
  return process.listeners('exit').some((listener) => listener.name === 'handleProcessExit')
}
