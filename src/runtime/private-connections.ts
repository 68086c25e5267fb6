import { fstatSync } from 'node:fs'
import type net from 'node:net'

/** Connections that came over the private socket: what is asked there, a health check or a preview, is not counted as traffic. */
const handles = new WeakSet<object>()
const sockets = new WeakSet<object>()

/** In a worker of node:cluster, by what the primary has said of them; each goes to one of the workers only. */
const announced = new Set<number>()
const mostAnnounced = 256

interface HandledSocket extends net.Socket {
  _handle?: { fd?: number } | null
}

export function markPrivate(handle: object): void {
  handles.add(handle)
}

/** In a worker: that a connection with this inode is about to be handed to one of the workers. */
export function announcePrivate(inode: number): void {
  announced.add(inode)
  const [oldest] = announced
  if (announced.size > mostAnnounced && oldest !== undefined) announced.delete(oldest)
}

/** To be called with each new connection, as long as its handle is there. */
export function notePrivate(socket: net.Socket): void {
  const { _handle: handle } = socket as HandledSocket
  if (!handle) return
  if (handles.has(handle) || (announced.size > 0 && announced.delete(inodeOf(handle.fd)))) sockets.add(socket)
}

/** @param socket with TLS the encrypted side */
export function isPrivate(socket: object | null | undefined): boolean {
  if (!socket) return false
  const { _parent: raw } = socket as { _parent?: object | null }
  return sockets.has(socket) || (raw ? sockets.has(raw) : false)
}

function inodeOf(fd: number | undefined): number {
  try {
    return fstatSync(fd ?? -1).ino
  } catch {
    return -1
  }
}
