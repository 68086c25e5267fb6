/** The unit names of one app. All start with the app's name, which therefore is a checked word. */

export const appService = (app: string): string => `${app}.service`
export const drainService = (app: string): string => `${app}-drain.service`
export const shutdownService = (app: string): string => `${app}-shutdown.service`
export const activateService = (app: string): string => `${app}-activate.service`
export const afterDrainService = (app: string): string => `${app}-after-drain.service`
/** Transient: a deploy runs in it, and its name is the lock. */
export const deployService = (app: string): string => `${app}-deploy.service`
/** Transient: one hook. */
export const hookService = (app: string): string => `${app}-hook.service`
/** Transient: one notification, with an id of 10 digits, `_` and 8 hexadecimal digits. */
export const notifyService = (app: string, id: string): string => `${app}-notify-${id}.service`
/** Matches these units and nobody else's: no app's and no listener's name holds a `_`. */
export const notifyPattern = (app: string): string => `${app}-notify-${'[0-9]'.repeat(10)}_${'[0-9a-f]'.repeat(8)}.service`
/** A pattern for those of an app; no app's name holds a dot. */
export const healthPattern = (app: string): string => `${app}-health-[0-9]*.[0-9]*.service`
/** Transient: the command of a health check of one instance. */
export const healthService = (app: string, generation: number, process: number): string => `${app}-health-${generation}.${process}.service`
export const socketUnit = (app: string, listener: string): string => `${app}-${listener}.socket`
/** Stops the socket unit of a listener, which refuses to be stopped by name; a template. */
export const closeTemplate = (app: string): string => `${app}-close@.target`
/** The instance of it that closes the listener of this socket unit. */
export const closeTarget = (app: string, socket: string): string => `${app}-close@${socket.slice(`${app}-`.length, -'.socket'.length)}.target`
/** Of the listeners: the sockets of single instances come and go with them. */
export const isListenerSocket = (unit: string): boolean => unit.endsWith('.socket') && !unit.includes('@')
/** What other people reach a held generation by. */
export const previewSocket = (app: string): string => `${app}-preview.socket`
export const previewService = (app: string): string => `${app}-preview.service`
/** Transient: discard a held generation when its time is over. */
export const expiryService = (app: string): string => `${app}-expiry.service`
export const expiryTimer = (app: string): string => `${app}-expiry.timer`
/** The private sockets of an instance, a template too. */
export const privateTemplate = (app: string): string => `${app}@.socket`
/** The unit of the private sockets of one instance. */
export const privateSocketUnit = (app: string, generation: number, process: number): string => `${app}@${generation}.${process}.socket`
/** A pattern for `systemctl list-units` that matches the private sockets of every instance. */
export const privateSocketPattern = (app: string): string => `${app}@*.socket`
/**
 * The slice that systemd makes for the instances of a template, and for nothing else: systemd.slice(5). A `-` in its name would be
 * another level: "String Escaping" in systemd.unit(5).
 */
export const instancesSlice = (app: string, scope: 'system' | 'user'): string => `${scope === 'user' ? 'app' : 'system'}-${app.replaceAll('-', '\\x2d')}.slice`
export const templateUnit = (app: string): string => `${app}@.service`

/** The unit of one process of one generation; `process` counts from 1. */
export function instanceUnit(app: string, generation: number, process: number): string {
  return `${app}@${generation}.${process}.service`
}

/** The numbers of the processes of a generation: 1 to `count`. */
export const processNumbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)

/** A pattern for `systemctl list-units` that matches every instance and nothing else: no app's name holds an `@`. */
export const instancePattern = (app: string): string => `${app}@*.service`

/** The generation and process that an instance's unit name tells, or undefined for a unit of another kind. */
export function parseInstance(app: string, unit: string): { generation: number; process: number } | undefined {
  const prefix = `${app}@`
  if (!unit.startsWith(prefix)) return undefined
  const match = /^([1-9]\d*)\.([1-9]\d*)\.service$/.exec(unit.slice(prefix.length))
  return match ? { generation: Number(match[1]), process: Number(match[2]) } : undefined
}
