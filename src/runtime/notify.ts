import { execFile, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { loadSdNotify } from './native.js'

/**
 * What became of a message to the service manager:
 * - `not-supervised`: there is no NOTIFY_SOCKET, so there was nobody to tell; not an error.
 * - `failed`: there is one, and the message could not be sent.
 * - `sent`: handed to the socket. systemd gives no answer, so this is all that can be known.
 */
export type NotifyOutcome = 'not-supervised' | 'failed' | 'sent'

/** The shortest time between two status texts, in milliseconds: a full queue would block the event loop. */
export const statusIntervalMs = 1000

const maxTextLength = 1000
const programTimeoutMs = 5000

let lastStatusAt = -Infinity
let pendingStatus: string | undefined
let statusTimer: NodeJS.Timeout | undefined

/** One line of plain text: a newline in a status would start a new assignment, a NUL would end the message. */
export function sanitizeStatus(text: unknown): string {
  // oxlint-disable-next-line no-control-regex -- control characters are exactly what must go
  const line = String(text).replace(/[\u0000-\u001f\u007f\u2028\u2029]+/g, ' ').trim()
  return line.length > maxTextLength ? `${line.slice(0, maxTextLength - 1)}…` : line
}

/**
 * Sends assignments as described in sd_notify(3), natively or else by systemd-notify(1), which sends from a pid of its own:
 * `NotifyAccess=all` is needed for that. Waits until the message is out.
 */
export function sendNotify(...assignments: string[]): NotifyOutcome {
  if (!process.env.NOTIFY_SOCKET) return 'not-supervised'
  if (!isSocketThere(process.env.NOTIFY_SOCKET)) return 'failed'
  const native = loadSdNotify()
  if (native) return sendNatively(native.sendState, assignments)
  const result = spawnSync(notifyProgram(), assignments, { stdio: 'ignore', timeout: programTimeoutMs })
  return result.status === 0 ? 'sent' : 'failed'
}

/** As `sendNotify`, for what is repeated or not urgent: the helper program, where one is needed, runs in the background. */
export function sendNotifyInBackground(...assignments: string[]): NotifyOutcome {
  if (!process.env.NOTIFY_SOCKET) return 'not-supervised'
  if (!isSocketThere(process.env.NOTIFY_SOCKET)) return 'failed'
  const native = loadSdNotify()
  if (native) return sendNatively(native.sendState, assignments)
  try {
    const child = execFile(notifyProgram(), assignments, { timeout: programTimeoutMs }, () => {})
    child.unref()
    return 'sent'
  } catch {
    return 'failed'
  }
}

/** READY=1, with a status text. Waits: systemd must have it before anything else happens. */
export function notifyReady(text: string): NotifyOutcome {
  return sendNotify('READY=1', ...takeStatus(text))
}

/** STOPPING=1, with a status text. Waits, since the process may end right afterwards. */
export function notifyStopping(text: string): NotifyOutcome {
  return sendNotify('STOPPING=1', ...takeStatus(text))
}

/** A status that nothing follows, so that it is not held back for a second. */
export function notifyLastStatus(text: string): NotifyOutcome {
  return sendNotify(...takeStatus(text))
}

/** EXTEND_TIMEOUT_USEC=: systemd waits so many milliseconds from now, where it would wait for less. */
export function notifyExtendTimeout(ms: number): NotifyOutcome {
  return sendNotifyInBackground(`EXTEND_TIMEOUT_USEC=${Math.round(ms * 1000)}`)
}

/** WATCHDOG=1: the keep-alive ping of sd_watchdog_enabled(3). */
export function notifyWatchdog(): NotifyOutcome {
  return sendNotifyInBackground('WATCHDOG=1')
}

/**
 * STATUS=: the line that `systemctl status` shows. At most one is sent per second; of those given in between the newest is
 * sent when the second is over, and `sent` then means that it will be.
 */
export function notifyStatus(text: string): NotifyOutcome {
  if (!process.env.NOTIFY_SOCKET) return 'not-supervised'
  if (!isSocketThere(process.env.NOTIFY_SOCKET)) return 'failed'
  const wait = lastStatusAt + statusIntervalMs - performance.now()
  if (wait <= 0) return sendNotifyInBackground(...takeStatus(text))
  pendingStatus = text
  statusTimer ??= setTimeout(() => {
    statusTimer = undefined
    if (pendingStatus !== undefined) sendNotifyInBackground(...takeStatus(pendingStatus))
  }, wait).unref()
  return 'sent'
}

/** The assignment for a status that goes out now; an older one that still waits is dropped. */
function takeStatus(text: string): string[] {
  lastStatusAt = performance.now()
  pendingStatus = undefined
  return [`STATUS=${sanitizeStatus(text)}`]
}

function sendNatively(sendState: (state: string) => void, assignments: string[]): NotifyOutcome {
  try {
    sendState(assignments.join('\n'))
    return 'sent'
  } catch {
    return 'failed'
  }
}

/** sd_notify's own failure does not reach us through the package, so at least look whether the socket is there. */
function isSocketThere(path: string): boolean {
  if (!path.startsWith('/')) return /^(@|vsock)/.test(path)
  try {
    accessSync(path, constants.W_OK)
    return statSync(path).isSocket()
  } catch {
    return false
  }
}

/** By its full path where it always is: the app may have changed PATH. */
function notifyProgram(): string {
  return existsSync('/usr/bin/systemd-notify') ? '/usr/bin/systemd-notify' : 'systemd-notify'
}
