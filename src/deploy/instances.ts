import { existsSync, readFileSync } from 'node:fs'
import { delimiter, dirname, isAbsolute, join } from 'node:path'
import { formatAddress } from '../config/address.js'
import type { Config } from '../config/model.js'
import { hasPreload } from '../config/preload.js'
import { HoldfastError } from '../errors.js'
import { holdfastCommand } from '../release/command-words.js'
import { writeInstance } from '../release/instance.js'
import { holdFile, privateSocket, reportSocket } from '../release/standby.js'
import { stopFile } from '../release/stop-reason.js'
import { releaseFolder } from '../release/store.js'
import type { ListenerEnvironment } from '../runtime/environment.js'
import { privateTemplate, processNumbers, socketUnit } from '../units/names.js'
import { renderInstanceDropIn } from '../units/render.js'
import type { InstalledApp } from './app.js'
import type { ReleaseChoice } from './choose-release.js'

/** Where a command's program is looked up, after node's own folder. */
export const systemPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/**
 * Whether each instance has private sockets of its own: where it has the runtime, and where another program is to answer a
 * health check there. Units that an older version of Holdfast has installed know of none.
 */
export const hasPrivateSocket = ({ paths, units }: InstalledApp, config: Config): boolean =>
  units.includes(privateTemplate(paths.app)) && (config.start.standby || hasPreload(config) || config.health?.probe.kind === 'http')

/** Whether an instance of this configuration accepts nothing public until it is let in. */
export const hasStandby = (app: InstalledApp, config: Config): boolean => config.start.standby && app.config.listen.length > 0 && hasPrivateSocket(app, config)

/** For what is to be held. @throws HoldfastError `config-invalid` with the reason where it cannot be */
export function requireStandby(app: InstalledApp, config: Config): void {
  if (hasStandby(app, config)) return
  const [why, mend] =
    app.config.listen.length === 0 ? ['it has no [listen], and nothing else could be kept from it: it would begin its work at once', 'deploy it without --hold']
    : !config.start.standby ? ['its command does not preload holdfast/register, and without the runtime it accepts connections as soon as it runs', 'write command = ["node", "--import", "holdfast/register", ...]; or [start] standby = true, where the app imports holdfast itself']
    : ['its units come from an older version of Holdfast', `${holdfastCommand(app.paths)} install ${app.config.directory === undefined ? 'HOLDFAST.TOML' : `${app.config.directory}/holdfast.toml`}`]
  throw new HoldfastError('config-invalid', `a release of ${app.paths.app} cannot be held: ${why}`, { hint: mend })
}

/** The listener whose server answers on the private socket. */
export const privateListener = ({ listen }: Config): string | undefined => (listen.find(({ name }) => name === 'http') ?? listen[0])?.name

/** Writes the files of each instance of a generation. */
export async function prepareInstances(app: InstalledApp, { release, config }: ReleaseChoice, generation: number): Promise<void> {
  const { paths } = app
  const isPrivate = hasPrivateSocket(app, config)
  const listenerName = privateListener(app.config)
  const listeners = await listenersOf(app)
  const tcp = app.config.listen.find((listener) => listener.address.kind === 'tcp')?.address
  const env: Record<string, string> = {
    PATH: [...new Set([dirname(app.node), ...systemPath])].join(delimiter),
    // Where an unmodified app usually looks for its port.
    ...(tcp?.kind === 'tcp' ? { PORT: String(tcp.port) } : {}),
    ...config.env,
  }
  for (const process of processNumbers(config.processes)) {
    writeInstance(paths, {
      generation,
      process,
      folder: releaseFolder(paths, release),
      command: [findProgram(config.command[0] as string, app.node), ...config.command.slice(1)],
      env,
      holdfast: {
        HOLDFAST_APP: paths.app,
        HOLDFAST_RELEASE: release.id,
        HOLDFAST_GENERATION: String(generation),
        HOLDFAST_INSTANCE: `${generation}.${process}`,
        HOLDFAST_LISTEN: JSON.stringify(listeners),
        HOLDFAST_DRAIN_TIMEOUT_MS: String(config.drain.timeoutMs),
        HOLDFAST_SHUTDOWN_TIMEOUT_MS: String(config.drain.shutdownTimeoutMs),
        HOLDFAST_HANG_TIMEOUT_MS: String(config.drain.hangTimeoutMs),
        HOLDFAST_RECONNECT_WINDOW_MS: String(config.drain.reconnectWindowMs),
        HOLDFAST_RECONNECT_RATE: String(config.drain.reconnectRate),
        HOLDFAST_HOLD_FILE: holdFile(paths, { generation, process }),
        ...(isPrivate ? { HOLDFAST_PRIVATE_SOCKET: privateSocket(paths, { generation, process }), HOLDFAST_REPORT_SOCKET: reportSocket(paths, { generation, process }) } : {}),
        ...(isPrivate && listenerName !== undefined ? { HOLDFAST_PRIVATE_LISTENER: listenerName } : {}),
        HOLDFAST_STOP_FILE: stopFile(paths, { generation, process }),
      },
      secrets: readSecrets(app),
      dropIn: renderInstanceDropIn(config, { app: paths.app, isPrivate }),
    })
  }
}

/**
 * The absolute path of a command's program: `node` is the one that `install` recorded, another word is
 * looked up as systemd would, and one with a slash stays as it is.
 * @param key of the configuration that names it, for the message
 * @throws HoldfastError `config-invalid` where there is none
 */
export function findProgram(program: string, node: string, key = 'command'): string {
  if (program === 'node') return node
  if (program.includes('/')) {
    if (isAbsolute(program) && !existsSync(program)) throw noProgram(key, program, 'there is no such file')
    return program
  }
  const found = [dirname(node), ...systemPath].map((folder) => join(folder, program)).find((file) => existsSync(file))
  if (found === undefined) throw noProgram(key, program, `it is in none of ${systemPath.join(' ')}`)
  return found
}

function noProgram(key: string, program: string, why: string): HoldfastError {
  return new HoldfastError('config-invalid', `${key}: ${program} cannot be run: ${why}`, {
    hint: 'Install it, or write its absolute path, or a path in the release such as ./bin/server.',
  })
}

async function listenersOf({ config, paths, systemd }: InstalledApp): Promise<ListenerEnvironment[]> {
  return Promise.all(
    config.listen.map(async ({ name, address }) => ({
      name,
      address: formatAddress(address),
      backlog: Number(await systemd.property(socketUnit(paths.app, name), 'Backlog')) || 4096,
    })),
  )
}

function readSecrets({ config: { envFile } }: InstalledApp): Uint8Array | undefined {
  if (envFile === undefined) return undefined
  try {
    return readFileSync(envFile)
  } catch (error) {
    throw new HoldfastError('config-invalid', `env_file: ${envFile} cannot be read: ${(error as Error).message}`, {
      hint: `install -m 600 /dev/null ${envFile}`,
      cause: error,
    })
  }
}
