import cluster from 'node:cluster'
import { isMainThread } from 'node:worker_threads'

/** Who this process is, as the handover that started it said. */
export interface Instance {
  app: string
  /** The release's id. */
  release: string
  /** Increases with each handover; the same release started twice is two generations. */
  generation: number
  /** `<generation>.<process>`, the instance name of the unit `<app>@….service`. */
  name: string
}

/**
 * What this process is to systemd:
 * - `outside`: nothing of systemd's or Holdfast's is in the environment. The runtime is inert.
 * - `main`: the process that systemd started and talks to.
 * - `worker`: a worker of node:cluster whose primary is that process. It drains when the primary does.
 * - `helper`: a worker thread or any other child of such a process. The runtime is inert here too.
 * - `lost`: systemd passed the sockets to another process, such as `npm` or a shell, which started this one.
 */
export type Role = 'outside' | 'main' | 'worker' | 'helper' | 'lost'

/** What tells a process from others that have the same environment. */
export interface Standing {
  mainThread: boolean
  /** Whether it is a worker of node:cluster. */
  clusterWorker: boolean
  parentPid: number
}

/** The variable by which the main process tells those that it starts that they are not it. */
const ownerVariable = 'HOLDFAST_PID'

/** The instance described by the HOLDFAST_ variables, or undefined when they are not set. */
export function readInstance(env: NodeJS.ProcessEnv): Instance | undefined {
  const { HOLDFAST_APP: app, HOLDFAST_INSTANCE: name } = env
  if (!app || !name) return undefined
  return { app, name, release: env.HOLDFAST_RELEASE ?? '', generation: Number(env.HOLDFAST_GENERATION) || 0 }
}

/** See `Role`. */
export function readRole(env: NodeJS.ProcessEnv, pid: number, standing: Standing = ownStanding()): Role {
  const isOurs = Boolean(env.HOLDFAST_INSTANCE)
  if (!isOurs && !env.LISTEN_FDS && !env.NOTIFY_SOCKET) return 'outside'
  if (!standing.mainThread) return 'helper'
  // Its primary must be the instance itself: any child of that may be the primary of a cluster of its own.
  if (standing.clusterWorker) return env[ownerVariable] === String(standing.parentPid) ? 'worker' : 'helper'
  if (env[ownerVariable] && env[ownerVariable] !== String(pid)) return 'helper'
  if (env.LISTEN_PID && env.LISTEN_PID !== String(pid)) return isOurs ? 'lost' : 'helper'
  return 'main'
}

function ownStanding(): Standing {
  return { mainThread: isMainThread, clusterWorker: cluster.isWorker, parentPid: process.ppid }
}

/** Marks the environment, so that processes started from here do not take themselves for the instance. */
export function claimEnvironment(env: NodeJS.ProcessEnv, pid: number): void {
  env[ownerVariable] = String(pid)
}

/** Why the sockets are not here, and what to do about it. */
export function explainLostSockets(env: NodeJS.ProcessEnv, pid: number): string {
  return (
    `systemd passed the sockets to process ${env.LISTEN_PID}, but this is process ${pid}: something between systemd and node ` +
    '(npm start, npx, tsx, node --watch, sh -c "node …; …") started it and does not pass them on. ' +
    'Let the unit start node itself: command = ["node", "server.js"] in holdfast.toml (node --import … is fine)'
  )
}
