import { errorMonitor } from 'node:events'
import net from 'node:net'
import { HoldfastError } from '../errors.js'
import { isAccepting, isParked } from './accept-handle.js'
import { bindAgain, bindInherited, type OriginalListen } from './bind.js'
import { Drain } from './drain.js'
import type { ConnectionHook, DrainHook } from './drain-hooks.js'
import { ExclusiveWork, type ExclusiveFunction } from './exclusive.js'
import { forgetInheritance, readInheritance, type InheritedListener } from './inherited.js'
import {
  claimEnvironment, explainLostSockets, readInstance, readRole, type Instance, type Role,
} from './instance.js'
import { Jobs, type JobFunction, type JobOptions } from './jobs.js'
import { createLog, type Log } from './journal.js'
import { readDrainLimits } from './limits.js'
import { formatRequest, readListenArguments, type ListenRequest } from './listen-arguments.js'
import { connectionKinds, type ConnectionKind } from './long-lived.js'
import { whenMainEvaluated } from './main-module.js'
import { matchListener, matchName, type Match } from './match.js'
import { notifyReady, notifyStatus, type NotifyOutcome } from './notify.js'
import { Primary } from './primary.js'
import { PrivateSocket } from './private-socket.js'
import { Reporting } from './reporting.js'
import { Standby } from './standby.js'
import { Systemd } from './systemd.js'
import { startWatchdog } from './watchdog.js'
import { Workers } from './workers.js'

/** Where a server shall listen: by name, by port or by path; outside systemd the name alone is not enough. */
export interface ListenTarget {
  name?: string
  port?: number
  host?: string
  path?: string
}

/** Everything that the runtime knows and does in one process; see index.ts for what apps get of it. */
export class Runtime {
  readonly role: Role
  readonly instance: Instance | undefined
  readonly log: Log
  readonly drain: Drain
  readonly #jobs: Jobs
  readonly #exclusive: ExclusiveWork
  readonly #standby: Standby
  /** Undefined where nobody asks. */
  readonly #reporting: Reporting | undefined
  readonly #reportFd: number | undefined
  readonly #private: PrivateSocket | undefined
  readonly #privateListener: string | undefined
  readonly #inherited: readonly InheritedListener[] = []
  readonly #problems: readonly string[] = []
  readonly #servers = new Map<InheritedListener, net.Server>()
  readonly #listen = net.Server.prototype.listen as unknown as OriginalListen
  #isActive = false
  #isPreloaded = false
  #ready: NotifyOutcome | undefined
  #status: string | undefined

  constructor(options: { inert?: boolean } = {}) {
    const { env, pid } = process
    this.role = options.inert ? 'helper' : readRole(env, pid)
    this.instance = this.role === 'outside' || this.role === 'helper' ? undefined : readInstance(env)
    this.log = createLog(this.instance, env)
    const { log } = this
    const limits = readDrainLimits(env)
    const supervisor = this.role === 'worker' ? new Primary() : new Systemd({ log, limits, stopFile: env.HOLDFAST_STOP_FILE })
    this.drain = new Drain({ log, limits, supervisor, workers: this.role === 'main' ? new Workers(log) : undefined })
    const draining = this.drain.signal
    this.#standby = new Standby(this.role === 'outside' ? undefined : env.HOLDFAST_HOLD_FILE)
    this.#jobs = new Jobs({ log, draining })
    this.drain.waitForJobs(this.#jobs)
    // A thread or a child of an instance is none, but what it runs must not run twice either.
    this.#exclusive = new ExclusiveWork({
      owner: readInstance(env), jobs: this.#jobs, log, draining, listen: this.#listen, letIn: () => this.#standby.over(),
    })
    if (this.role === 'worker' && env.HOLDFAST_REPORT_SOCKET) this.#reporting = new Reporting(this.drain)
    if (this.role !== 'main') return
    const { listeners, problems, privateFd, reportFd } = readInheritance(env, pid)
    this.#inherited = listeners
    this.#problems = problems
    this.#privateListener = env.HOLDFAST_PRIVATE_LISTENER
    this.#reportFd = reportFd
    if (reportFd !== undefined) this.#reporting = new Reporting(this.drain)
    if (privateFd !== undefined) {
      this.#private = new PrivateSocket({ fd: privateFd, listen: this.#listen, onAccepted: (inode) => this.#reporting?.announcePrivate(inode) })
    }
    forgetInheritance(env)
    claimEnvironment(env, pid)
  }

  listeners(): { name: string; address: string | undefined; fd: number; listening: boolean }[] {
    return this.#inherited.map((listener) => {
      const { name, address, fd } = listener
      return { name, address, fd, listening: this.#accepts(listener) }
    })
  }

  /** READY=1, once; a call that failed may be repeated. */
  ready(): NotifyOutcome {
    this.#activate()
    if (this.role !== 'main') return 'not-supervised'
    if (this.#ready === 'sent') return 'sent'
    // SIGTERM came first: the instance is on its way out.
    if (this.drain.signal.aborted) return 'failed'
    this.#ready = notifyReady(this.#statusNow())
    if (this.#ready === 'failed') this.log.error('READY=1 could not be sent: see `holdfast doctor`')
    return this.#ready
  }

  /** The app's own status, which stays until the drain; from then on it is what the drain waits for. */
  status(text: string): NotifyOutcome {
    if (this.role !== 'main') return 'not-supervised'
    this.#status = text
    return this.drain.signal.aborted ? 'sent' : notifyStatus(this.#statusNow())
  }

  /** Settles when this instance may serve; see standby.ts. */
  whenLive(): Promise<void> {
    this.#activate()
    return this.#standby.over()
  }

  onDrain(...args: [hook: DrainHook] | [kind: ConnectionKind, hook: ConnectionHook]): void {
    const hook = args.at(-1)
    if (typeof hook !== 'function') throw new TypeError(`onDrain() needs a function, got ${typeof hook}`)
    this.#activate()
    if (args.length === 1) return this.drain.addHook(args[0])
    if (!connectionKinds.includes(args[0])) {
      throw new TypeError(`onDrain(): there is no kind of connection ${JSON.stringify(args[0])}; there are ${connectionKinds.join(', ')}`)
    }
    this.drain.addConnectionHook(...args)
  }

  job<T>(name: string, fn: JobFunction<T>, options?: JobOptions): Promise<T> {
    this.#activate()
    return this.#jobs.run(name, fn, options)
  }

  exclusive(name: string, fn: ExclusiveFunction): Promise<void> {
    this.#activate()
    return this.#exclusive.run(name, fn)
  }

  /** Level 2: an app hands its server over. Settles when the server listens. */
  listen<T extends net.Server>(server: T, target: ListenTarget): Promise<T> {
    this.#activate()
    const { name, ...address } = target
    const request: ListenRequest = address.port === undefined && address.path === undefined ? { kind: 'any' } : readListenArguments([address])
    const named: Match = name === undefined ? { kind: 'none' } : matchName(this.#inherited, this.#isTaken, name)
    const match = name === undefined ? matchListener(this.#inherited, this.#isTaken, request) : named
    if (match.kind !== 'exact' && match.kind !== 'only' && request.kind === 'any') return Promise.reject(this.#explain(name, match))
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.once('listening', () => {
        server.off('error', reject)
        resolve(server)
      })
      this.#bind(server, request, match, [address])
    })
  }

  /** Level 1: everything happens by itself. Does nothing in a process that is neither systemd's main process nor its worker. */
  preload(): void {
    this.#activate()
    if ((this.role !== 'main' && this.role !== 'worker') || this.#isPreloaded) return
    this.#isPreloaded = true
    const listen = (server: net.Server, args: unknown[]): net.Server => this.#intercept(server, args)
    net.Server.prototype.listen = function (this: net.Server, ...args: unknown[]) {
      return listen(this, args)
    } as typeof net.Server.prototype.listen
    if (this.role !== 'main') return
    void whenMainEvaluated().then(() => {
      if (this.#inherited.length === 0) this.ready()
      else if (this.#ready === undefined) notifyStatus(`waiting until the app listens on ${this.#unused().map(formatListener).join(', ')}`)
    })
  }

  #intercept(server: net.Server, args: unknown[]): net.Server {
    const request = readListenArguments(args)
    const match = matchListener(this.#inherited, this.#isTaken, request)
    return this.#bind(server, request, match, args)
  }

  #bind(server: net.Server, request: ListenRequest, match: Match, args: unknown[]): net.Server {
    if ((this.role === 'main' || this.role === 'worker') && request.kind !== 'ephemeral' && request.kind !== 'other') this.drain.attach(server)
    if (this.drain.signal.aborted && match.kind !== 'none') {
      this.log.notice(`${formatRequest(request)} comes when this instance drains: it does not accept any more`)
      return server
    }
    if (match.kind === 'taken' || match.kind === 'none') {
      if (this.role === 'worker' && request.kind === 'address') this.#reporting?.attach(server)
      this.#warnUnlisted(request, match)
      return this.#listen.apply(server, args)
    }
    const { listener } = match
    if (match.kind === 'only' && request.kind === 'address') {
      this.log.notice(`${formatRequest(request)} takes ${formatListener(listener)}, the only listener of this instance`)
    }
    this.#reporting?.attach(server)
    const former = this.#servers.get(listener)
    this.#servers.set(listener, server)
    const release = (): boolean => this.#servers.delete(listener)
    server.once(errorMonitor as unknown as string, release)
    const onListening = (): void => {
      server.off(errorMonitor as unknown as string, release)
      if (listener.name === this.#privateListener) this.#private?.serve(server)
      if (this.#isPreloaded && this.#unused().length === 0) this.ready()
    }
    server.once('listening', onListening)
    try {
      return this.#standby.listen(server, () => (
        former ? bindAgain(server, listener, request, former) : bindInherited(server, listener, request, this.#listen)
      ))
    } catch (error) {
      // It listens somewhere already, for one: the listener is still free.
      release()
      server.off(errorMonitor as unknown as string, release).off('listening', onListening)
      throw error
    }
  }

  readonly #isTaken = (listener: InheritedListener): boolean => {
    const server = this.#servers.get(listener)
    return server !== undefined && !isParked(server)
  }

  #unused(): InheritedListener[] {
    return this.#inherited.filter((listener) => !this.#accepts(listener))
  }

  #accepts(listener: InheritedListener): boolean {
    const server = this.#servers.get(listener)
    return server !== undefined && isAccepting(server)
  }

  /** Once, when something of the runtime is used. */
  #activate(): void {
    if (this.#isActive) return
    this.#isActive = true
    for (const problem of this.#problems) this.log.error(problem)
    if (this.role === 'lost') {
      const text = explainLostSockets(process.env, process.pid)
      this.log.error(text)
      notifyStatus(text)
    }
    if (this.role === 'main') startWatchdog()
    if (this.role === 'worker') this.#reporting?.answer()
    if (this.role === 'main' || this.role === 'worker') this.drain.listenForOrders()
    if (this.#reportFd !== undefined) this.#reporting?.serve(this.#reportFd, this.#listen, () => this.#isAccepting)
    this.drain.signal.addEventListener('abort', () => {
      this.#standby.giveUp()
      this.#private?.close()
    })
    if (this.role === 'main' && this.#standby.isHeld) this.#standby.onEnd(() => this.#noteLetIn())
  }

  #noteLetIn(): void {
    this.log.info('let in: it is no longer in standby')
    if (this.#ready !== undefined) notifyStatus(this.#statusNow())
  }

  /** Whether every listener that the app has taken really accepts; one that takes none has nothing to wait for once it is ready. */
  get #isAccepting(): boolean {
    if (this.#standby.isHeld || this.drain.signal.aborted) return false
    if (this.#servers.size === 0) return this.#inherited.length === 0 || this.#ready !== undefined
    return [...this.#servers.values()].every((server) => isAccepting(server) && !isParked(server))
  }

  #statusNow(): string {
    const served = this.#inherited.filter((listener) => this.#servers.has(listener)).map(formatListener).join(', ')
    if (!this.#standby.isHeld) return this.#status ?? (served === '' ? 'running' : `serving ${served}`)
    const text = this.#status ?? (served === '' ? '' : `listens on ${served} when let in`)
    return text === '' ? 'in standby' : `in standby: ${text}`
  }

  #warnUnlisted(request: ListenRequest, match: Match): void {
    if (this.role !== 'main' || request.kind !== 'address' || !this.instance) return
    const what = match.kind === 'taken'
      ? `${formatRequest(request)}: ${formatListener(match.listener)} is in use by another server of this process already`
      : `${formatRequest(request)} is not in [listen]${this.#inherited.length > 0 ? ` (${this.#inherited.map(formatListener).join(', ')})` : ''}`
    this.log.warn(`${what}: node binds the address itself, and two generations cannot both do that; add it to [listen] in holdfast.toml`)
  }

  #explain(name: string | undefined, match: Match): HoldfastError {
    const names = this.#inherited.map(formatListener).join(', ') || 'none'
    if (match.kind === 'taken') return new HoldfastError('usage', `listener ${name} is in use by another server of this process already`)
    const what = name === undefined ? 'listen() without a port' : `listen("${name}") without a port`
    return new HoldfastError('usage', `${what} needs an inherited listener to go with; inherited here: ${names}`, {
      hint: `say where to listen outside systemd too: listen(server, { ${name === undefined ? '' : `name: '${name}', `}port: 3000 })`,
    })
  }
}

function formatListener(listener: InheritedListener): string {
  return listener.address === undefined ? listener.name : `${listener.name} (${listener.address})`
}
