/** A controller that aborts with a signal, or by itself. `release` it at the end: the signal may live long. Node has AbortSignal.any only from 20.3 on. */
export function abortWith(signal: AbortSignal): AbortController & { release(): void } {
  const controller = new AbortController()
  const onAbort = (): void => controller.abort(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort)
  return Object.assign(controller, { release: () => signal.removeEventListener('abort', onAbort) })
}
