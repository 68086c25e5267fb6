import type { Config, Listener } from '../config/model.js'
import { hasPreload, isNode } from '../config/preload.js'
import { HoldfastError } from '../errors.js'
import { commandWord, plainValue, timeSpan } from './escape.js'
import { activateService, afterDrainService, appService, closeTemplate, drainService, previewService, previewSocket, privateTemplate, shutdownService, socketUnit, templateUnit } from './names.js'
import type { Installation } from './installation.js'
import { sandboxValues } from './sandbox.js'
import { fillTemplate, readTemplate } from './template.js'

export interface UnitFile {
  name: string
  text: string
}

/**
 * After the runtime's own deadline, systemd waits so many milliseconds more before it kills: time to
 * log what was cut.
 */
export const stopGraceMs = 5_000

/**
 * The units of one app, in the order in which a reader meets them.
 * @throws HoldfastError `config-invalid` for a value that cannot stand in a unit file.
 */
export function renderUnits(config: Config, installation: Installation): UnitFile[] {
  const { app } = config
  const parted = installation.homePaths.find((path) => path.includes(':'))
  if (parted !== undefined) {
    throw new HoldfastError('config-invalid', `${JSON.stringify(parted)} cannot be shown to the app: a colon parts the paths of a bind mount`, {
      hint: 'Use a folder without a colon in its name.',
    })
  }
  const sockets = config.listen.map((listener) => socketUnit(app, listener.name)).join(' ') || undefined
  const holdfast = [
    commandWord(installation.node),
    commandWord(installation.cli),
    ...(installation.scope === 'user' ? ['--user'] : []),
  ].join(' ')
  const common = { app, holdfast, sockets: sockets ?? '' }
  // Opened and closed along with the app, and nothing else to do with it.
  const opened = [sockets, config.preview.address && previewSocket(app)].filter((unit) => unit !== undefined).join(' ')

  const units: UnitFile[] = [
    {
      name: appService(app),
      text: fill('app.service', {
        ...common,
        sockets: opened,
        description: plainValue(config.description ?? app),
        // `systemctl disable` keeps the sockets down, too: a connection would start the app.
        listeners: opened || undefined,
        wantedBy: installation.scope === 'user' ? 'default.target' : 'multi-user.target',
      }),
    },
    { name: drainService(app), text: fill('app-drain.service', common) },
    { name: shutdownService(app), text: fill('app-shutdown.service', common) },
    { name: afterDrainService(app), text: fill('app-after-drain.service', common) },
    ...config.listen.map((listener) => ({
      name: socketUnit(app, listener.name),
      text: fill('app-listener.socket', { app, ...socketValues(listener) }),
    })),
  ]
  if (sockets !== undefined) {
    units.push({ name: activateService(app), text: fill('app-activate.service', { ...common, nonBlocking: waitsInAccept(config) ? undefined : 'yes' }) })
    units.push({ name: closeTemplate(app), text: fill('app-close@.target', common) })
  }
  units.push(...renderPreview(config, installation, holdfast))
  units.push({ name: privateTemplate(app), text: fill('app@.socket', { app, run: plainValue(installation.run) }) })
  units.push({
    name: templateUnit(app),
    text: fill('app@.service', {
      ...common,
      sockets,
      commandFile: instanceFile(installation.instances, 'command'),
      // Not quoted: WorkingDirectory= and EnvironmentFile= take all of the line as one path.
      instances: plainValue(installation.instances),
      startTimeout: timeSpan(config.start.timeoutMs),
      stopTimeout: stopTimeout(config),
      watchdog: config.watchdogMs === undefined ? undefined : timeSpan(config.watchdogMs),
      memory: config.limits.memoryBytes?.toString(),
      tasks: config.limits.tasks?.toString(),
      ...sandboxValues(config, installation),
    }),
  })
  return units
}

/** The way to a held generation for other people, where it has an address. */
function renderPreview({ app, preview: { address } }: Config, { scope }: Installation, holdfast: string): UnitFile[] {
  if (address === undefined) return []
  // A user's manager may not mount, nor take capabilities away: see sandbox.ts.
  const systemOnly = scope === 'system' ? 'yes' : undefined
  return [
    { name: previewSocket(app), text: fill('app-preview.socket', { app, ...socketValues({ name: 'preview', address }) }) },
    { name: previewService(app), text: fill('app-preview.service', { app, holdfast, systemOnly, strict: systemOnly && 'strict', readOnly: systemOnly && 'read-only', none: systemOnly && '' }) },
  ]
}

/**
 * What of an instance's unit belongs to its generation: the template may be rewritten while it runs, and a release may
 * have another command than the installed one.
 */
export function renderInstanceDropIn(config: Pick<Config, 'command' | 'env' | 'drain' | 'start'>, { app, isPrivate }: { app: string; isPrivate: boolean }): string {
  const sockets = isPrivate ? `Sockets=${app}@%i.socket\n` : ''
  return `# Written at the handover, for this generation alone. Drop-ins of your own come after it.\n[Service]\n${sockets}${waitsInAccept(config) ? '' : 'NonBlocking=yes\n'}TimeoutStopSec=${stopTimeout(config)}\n`
}

/**
 * At each start, systemd sets or clears O_NONBLOCK of the sockets that it hands over, and by that of those that all who have
 * them share (systemd.service(5), `NonBlocking=`). Cleared, it would have those that serve hang in accept(2) until the new
 * process has set it again: node does, unless it dies before. Another program may want its accept(2) to wait.
 */
const waitsInAccept = (config: Pick<Config, 'command' | 'start'>): boolean => !isNode(config) && !config.start.standby

/** Of an older instance, once something waits for its end: read before the admin's own drop-ins. */
export function renderEndDropIn(app: string): string {
  const unit = afterDrainService(app)
  return `# Written at a handover: hooks.after_drain waits for this instance to end, or somebody is to be told of it.\n[Unit]\nOnSuccess=${unit}\nOnFailure=${unit}\n`
}

/**
 * With the preload, the runtime says by EXTEND_TIMEOUT_USEC= of sd_notify(3) that it is alive, up to the end of the drain: a
 * hung one is killed sooner. Nobody says so for another program, which has the time of a whole drain.
 */
function stopTimeout(config: Pick<Config, 'command' | 'env' | 'drain'>): string {
  const { timeoutMs, hangTimeoutMs } = config.drain
  return timeSpan((hasPreload(config) ? hangTimeoutMs : timeoutMs) + stopGraceMs)
}

/** One word of a command line, with the specifier for the instance in its midst. */
function instanceFile(instances: string, name: string): string {
  const quoted = commandWord(instances)
  return /["\\$%\s']/.test(instances) ? `${quoted.slice(0, -1)}/%i/${name}"` : `${instances}/%i/${name}`
}

function fill(name: Parameters<typeof readTemplate>[0], values: Parameters<typeof fillTemplate>[1]): string {
  // No sockets leave a blank at the end of a list of units.
  return fillTemplate(readTemplate(name), values).replaceAll(/ +$/gm, '')
}

function socketValues(listener: Listener): Parameters<typeof fillTemplate>[1] {
  const { address } = listener
  switch (address.kind) {
    case 'tcp':
      return {
        listener: listener.name,
        address: plainValue(listenStream(address.host, address.port)),
        mode: undefined,
        group: undefined,
        removeOnStop: undefined,
        freeBind: address.host === undefined || isLoopback(address.host) ? undefined : 'yes',
      }
    case 'unix':
      return {
        listener: listener.name,
        address: plainValue(address.path),
        mode: (listener.mode ?? (listener.group === undefined ? 0o600 : 0o660)).toString(8).padStart(4, '0'),
        group: listener.group === undefined ? undefined : plainValue(listener.group),
        removeOnStop: 'yes',
        freeBind: undefined,
      }
  }
}

function listenStream(host: string | undefined, port: number): string {
  if (host === undefined) return String(port)
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function isLoopback(host: string): boolean {
  return host === '::1' || host.startsWith('127.') || host === '0.0.0.0' || host === '::'
}
