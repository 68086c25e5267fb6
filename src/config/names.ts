import type { Check } from './check.js'
import { quote } from './quote.js'

/** An account's name has at most 31 characters where it shall work everywhere, and a dynamic user is `hf-<app>`. */
const longestApp = 28

/** What an app may be called: it is the prefix of every unit name, of folders and of a user name. */
export const appNamePattern = /^[a-z](?:[a-z0-9-]{0,26}[a-z0-9])?$/

/** Names whose units are somebody else's on every machine. */
const takenApps = new Set([
  'holdfast', 'systemd', 'init', 'system', 'user', 'session', 'machine', 'dbus', 'getty', 'serial-getty', 'console-getty',
  'container-getty', 'autovt', 'modprobe', 'ssh', 'sshd', 'cron', 'rescue', 'emergency', 'initrd', 'basic', 'default',
])

/** Names of listeners that would make a unit's name that is something else already. */
const takenListeners: Record<string, string> = {
  activate: 'service that a first connection starts',
  drain: 'service that stops the app',
  deploy: 'service that a deploy runs in',
  hook: 'service that a hook runs in',
  preview: 'socket that reaches a held release',
  expiry: 'timer that discards a held release',
  private: 'sockets of single instances (it is their fd name)',
  'after-drain': 'service that runs hooks.after_drain',
  shutdown: 'service that bounds its drains when the machine shuts down',
}

/** The app's name, with the reason when it cannot be. */
export const appName: Check<string> = (value, site) => {
  if (typeof value !== 'string') return site.report(`expected a name such as "shop", got ${quote(value)}`)
  if (takenApps.has(value) || /^(?:systemd|holdfast)-/.test(value)) {
    return site.report(`${quote(value)} is taken: the units would be named ${value}@.service and ${value}.service, which are not the app's: choose another name`)
  }
  if (value.length > longestApp && /^[a-z][a-z0-9-]*$/.test(value)) {
    return site.report(`${quote(value)} has ${value.length} characters; at most ${longestApp} fit, for its user is named hf-<app>: choose a shorter name`)
  }
  if (!appNamePattern.test(value)) {
    const near = sanitizeAppName(value)
    const mend = near === undefined ? 'such as "shop"' : `write "${near}"`
    return site.report(`${quote(value)} cannot be the prefix of unit names: use a-z, 0-9 and -, beginning with a letter and not ending with -: ${mend}`)
  }
  return value
}

/** The nearest name that an app may have; undefined where nothing is left of it. */
export function sanitizeAppName(text: string): string | undefined {
  const name = text
    .toLowerCase()
    .replace(/^@[^/]*\//, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, longestApp)
    .replace(/-+$/, '')
  return appNamePattern.test(name) && !takenApps.has(name) && !/^(?:systemd|holdfast)-/.test(name) ? name : undefined
}

/** A listener's name: it is the fd name, and its socket unit is `<app>-<listener>.socket`. */
export function checkListenerName(name: string): string | undefined {
  if (!/^[a-z][a-z0-9-]{0,20}$/.test(name) || name.endsWith('-')) {
    return `${quote(name)} cannot be a listener's name: use up to 21 of a-z, 0-9 and -, beginning with a letter and not ending with -, such as \`http\``
  }
  const taken = Object.hasOwn(takenListeners, name) ? takenListeners[name] : undefined
  if (taken !== undefined) {
    return `a listener cannot be named \`${name}\`: systemd ties <app>-${name}.socket to <app>-${name}.service, the ${taken}: choose another name, such as \`http\``
  }
  return undefined
}

/** A static account that is not root's. */
export const userName: Check<string> = (value, site) => {
  if (value === 'root') {
    return site.report('"root" would defeat the sandbox, and pushing code would be a way to root: remove `user` for a user of the app\'s own, or name an account')
  }
  if (value === 'nobody') return site.report('"nobody" is shared with other programs: remove `user` for a user of the app\'s own, or name an account')
  return account(value, site)
}

/** A group of the system. */
export const groupName: Check<string> = (value, site) => group(value, site)

const account = nameIn('passwd', 'an account such as "shop"')
const group = nameIn('group', 'a group such as "www-data"')

function nameIn(database: 'passwd' | 'group', expected: string): Check<string> {
  return (value, site) => {
    if (typeof value === 'number' || (typeof value === 'string' && /^\d{1,10}$/.test(value))) {
      return site.report(`expected the name of ${expected}, got the number ${value}: see \`getent ${database} ${value}\``)
    }
    if (typeof value !== 'string' || !/^[a-z_][a-z0-9_-]{0,30}$/.test(value)) {
      return site.report(`expected ${expected} (a-z, 0-9, _ and -, at most 31), got ${quote(value)}`)
    }
    return value
  }
}
