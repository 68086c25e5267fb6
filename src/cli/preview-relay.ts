import { PreviewRelay } from '../deploy/preview/preview-relay.js'
import { servePreview } from '../deploy/preview/preview-server.js'
import { routeToHeld } from '../deploy/preview/preview-target.js'
import { HoldfastError } from '../errors.js'
import { pathsOf } from '../release/paths.js'
import { forgetInheritance, readInheritance } from '../runtime/inherited.js'
import { placesFor, type GlobalOptions } from './context.js'

/** The relay that a connection to `[preview] address` has started ends so long after the last one. */
const idleMs = 60_000

/** What is open when the socket is closed may still take so long: whoever stops the app waits for it. */
const graceMs = 3_000

/** The `ExecStart=` of the preview's service: its socket comes from systemd. */
export async function previewRelayCommand(app: string, options: GlobalOptions): Promise<void> {
  const paths = pathsOf(placesFor(options), app)
  const { listeners, problems } = readInheritance(process.env, process.pid)
  forgetInheritance(process.env)
  if (listeners.length === 0) {
    throw new HoldfastError('usage', problems[0] ?? 'this is started by systemd, with a socket', { hint: `holdfast preview ${app}   # a preview for yourself` })
  }
  const relay = new PreviewRelay(() => routeToHeld(paths))
  const stop = new AbortController()
  process.once('SIGTERM', () => stop.abort())
  const servers = listeners.map(({ fd, backlog }) => relay.makeServer().listen({ fd }, backlog))
  await servePreview(relay, servers, { idleMs, signal: stop.signal, graceMs })
}
