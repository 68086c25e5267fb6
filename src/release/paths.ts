import { homedir } from 'node:os'
import { join } from 'node:path'
import { appNamePattern } from '../config/names.js'
import { quote } from '../config/quote.js'
import { HoldfastError } from '../errors.js'

/** Which manager serves the apps: PID 1 (as root), or a user's own (`--user`). */
export type Scope = 'system' | 'user'

/** Where everything of Holdfast lies in one scope. */
export interface Places {
  scope: Scope
  /** `<app>.toml` of each installed app. */
  config: string
  /** Generated units. */
  units: string
  /** Drop-ins of single instances, gone after a reboot. */
  runtimeUnits: string
  /** One folder per app: state, releases, instances. */
  state: string
  /** One folder per app, gone after a reboot. */
  run: string
}

/** Where everything of one app lies. */
export interface AppPaths {
  scope: Scope
  app: string
  config: string
  units: string
  runtimeUnits: string
  state: string
  run: string
  releases: string
  instances: string
}

/** The places of a scope; a user's follow the XDG base directories (`XDG_CONFIG_HOME` and so on). */
export function placesOf(scope: Scope, env: NodeJS.ProcessEnv = process.env): Places {
  if (scope === 'system') {
    return {
      scope, config: '/etc/holdfast', units: '/etc/systemd/system', runtimeUnits: '/run/systemd/system', state: '/var/lib/holdfast', run: '/run/holdfast',
    }
  }
  const home = env['HOME'] ?? homedir()
  const config = env['XDG_CONFIG_HOME'] || join(home, '.config')
  const runtime = env['XDG_RUNTIME_DIR'] || `/run/user/${process.getuid?.()}`
  return {
    scope,
    config: join(config, 'holdfast'),
    units: join(config, 'systemd/user'),
    runtimeUnits: join(runtime, 'systemd/user'),
    state: join(env['XDG_STATE_HOME'] || join(home, '.local/state'), 'holdfast'),
    run: join(runtime, 'holdfast'),
  }
}

/**
 * Where everything of an app lies, installed or not.
 * @throws HoldfastError `usage` for what is no app's name: with `..` in it, other folders would be removed and written
 */
export function pathsOf(places: Places, app: string): AppPaths {
  if (!appNamePattern.test(app)) {
    throw new HoldfastError('usage', `${quote(app)} is no app's name: a name has a-z, 0-9 and -, and begins with a letter`, { hint: 'holdfast status   # shows those that are installed' })
  }
  const state = join(places.state, app)
  return {
    scope: places.scope,
    app,
    config: join(places.config, `${app}.toml`),
    units: places.units,
    runtimeUnits: places.runtimeUnits,
    state,
    run: join(places.run, app),
    releases: join(state, 'releases'),
    instances: join(state, 'instances'),
  }
}
