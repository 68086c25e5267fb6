import type net from 'node:net'
import type { OriginalListen } from './bind.js'
import type { WorkerCount } from './cluster-messages.js'
import type { Drain } from './drain.js'
import { serveReports } from './report-socket.js'
import type { Report } from './report.js'
import { CountedServers } from './request-counts.js'
import { countConnections } from './waiting.js'
import { answerCounts, WorkerCounts } from './worker-counts.js'

/** What this process tells of itself: to the report socket or, in a worker of node:cluster, to its primary. */
export class Reporting {
  readonly #drain: Drain
  readonly #servers = new CountedServers()
  readonly #workers = new WorkerCounts()

  constructor(drain: Drain) {
    this.#drain = drain
  }

  /** Has the requests of a server counted; again is no harm. */
  attach(server: net.Server): void {
    this.#servers.attach(server)
  }

  /** In the main process, before the app forks a worker. */
  serve(fd: number, listen: OriginalListen, isAccepting: () => boolean): void {
    this.#workers.watch()
    serveReports(fd, listen, async () => describe(await this.#workers.addTo(this.#own()), {
      accepting: isAccepting(), draining: this.#drain.signal.aborted,
    }))
  }

  /** In a worker. */
  answer(): void {
    answerCounts(() => this.#own())
  }

  /** A connection of the private socket is about to be handed over; see private-connections.ts. */
  announcePrivate(inode: number): void {
    this.#workers.announce(inode)
  }

  #own(): WorkerCount {
    return { open: this.#drain.open(), counts: this.#servers.counts }
  }
}

function describe({ open, counts }: WorkerCount, state: Pick<Report, 'accepting' | 'draining'>): Report {
  return {
    version: 1, pid: process.pid, startedAt: new Date(performance.timeOrigin).toISOString(), ...state,
    connections: countConnections(open), inFlight: open.requests, webSockets: open.webSockets, eventStreams: open.eventStreams,
    jobs: open.jobs.length, ...counts,
  }
}
