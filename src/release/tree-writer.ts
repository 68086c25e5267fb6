import {
  chmodSync, closeSync, constants, fchmodSync, fchownSync, futimesSync, linkSync, mkdirSync, openSync, renameSync, rmdirSync, symlinkSync, writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { ArchiveEntry, EntrySink } from './archive-entry.js'
import { parsePath, parseTarget } from './archive-path.js'
import { refuseEntry, refuseSize } from './archive-refusal.js'
import { findBadLinks, newFolder, type FolderNode, type TreeNode } from './release-tree.js'
import { sealedMode, type Readers } from './readers.js'
import type { UnpackLimits } from './source-spec.js'

/** A file of this name makes a top folder the release itself: `npm pack` and forges put one around all. */
const rootFiles = ['package.json', 'holdfast.toml']

/**
 * Writes the entries of an archive below a folder that only the caller may enter. Each name is looked
 * up in a tree of what was made before, never on disk, and symbolic links are made last: there is none
 * that a later entry could go through.
 */
export class TreeWriter implements EntrySink {
  readonly #work: string
  readonly #readers: Readers
  readonly #room: UnpackLimits
  readonly #limits: UnpackLimits
  readonly #root = newFolder()
  /** The archive names its root: then what lies in it is meant to lie there. */
  #namesRoot = false
  #open: { fd: number; entry: ArchiveEntry } | undefined
  #files = 0

  /** @param work a folder that does not exist; its parent lets nobody else put one there. */
  constructor(work: string, limits: UnpackLimits, readers: Readers) {
    this.#work = work
    this.#limits = limits
    this.#room = { ...limits }
    this.#readers = readers
    mkdirSync(work, { mode: 0o700 })
  }

  get room(): UnpackLimits {
    return this.#room
  }

  /** What was unpacked: files and links, and the bytes in them. */
  get unpacked(): { files: number; bytes: number } {
    return { files: this.#files, bytes: this.#limits.bytes - this.#room.bytes }
  }

  begin(entry: ArchiveEntry): void {
    const path = parsePath(entry.name)
    if (entry.kind === 'folder') {
      const folder = this.#enter(path, entry.name)
      folder.mode = entry.mode
      if (path.length === 0) this.#namesRoot = true
      return
    }
    const name = path.pop()
    if (name === undefined) throw refuseEntry(entry.name, 'takes the place of the release itself')
    if (/\/\.?$/.test(entry.name.toString('latin1'))) throw refuseEntry(entry.name, `is a ${entry.kind} with the name of a folder`)
    const folder = this.#enter(path, entry.name)
    const before = folder.entries.get(name)
    if (before !== undefined) throw refuseEntry(entry.name, before.kind === 'folder' ? 'lies where a folder is' : 'is there twice')
    const at = join(this.#work, ...path, name)
    this.#count()
    this.#files += 1
    switch (entry.kind) {
      case 'file':
        folder.entries.set(name, { kind: 'file' })
        this.#open = { fd: openSync(at, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600), entry }
        return
      case 'symbolic link':
        folder.entries.set(name, { kind: 'link', target: parseTarget(entry.name, entry.target ?? Buffer.alloc(0)) })
        return
      case 'hard link': {
        const other = parsePath(entry.target ?? Buffer.alloc(0))
        if (this.#find(other)?.kind !== 'file') throw refuseEntry(entry.name, 'is a hard link to something other than a file that came before it')
        folder.entries.set(name, { kind: 'file' })
        linkSync(join(this.#work, ...other), at)
      }
    }
  }

  write(bytes: Buffer): void {
    if (this.#open === undefined) throw new Error('no file is open')
    this.#room.bytes -= bytes.length
    if (this.#room.bytes < 0) throw refuseSize(`it unpacks to more than ${this.#limits.bytes} bytes`)
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#open.fd, bytes, at)
  }

  end(): void {
    if (this.#open === undefined) return
    const { fd, entry } = this.#open
    this.#open = undefined
    try {
      if (this.#readers.group !== undefined) fchownSync(fd, -1, this.#readers.group)
      // Code that its owner cannot read is of no use.
      fchmodSync(fd, sealedMode(entry.mode | 0o400, this.#readers))
      const { mtimeMs } = entry
      if (mtimeMs !== undefined && mtimeMs >= 0 && mtimeMs <= Date.now()) futimesSync(fd, mtimeMs / 1000, mtimeMs / 1000)
    } finally {
      closeSync(fd)
    }
  }

  /** After a refusal: leaves no descriptor open. */
  abandon(): void {
    if (this.#open !== undefined) closeSync(this.#open.fd)
    this.#open = undefined
  }

  /**
   * Makes the symbolic links, takes away the right to write, and puts the whole in place.
   * @returns with `strip`, the name of the single top folder that was left out
   * @throws HoldfastError `archive-refused` for a link that leads out
   */
  finish(folder: string, { strip }: { strip: boolean }): string | undefined {
    const top = strip ? this.#commonTop() : undefined
    const root = top?.node ?? this.#root
    const from = top === undefined ? this.#work : join(this.#work, top.name)
    const [bad] = findBadLinks(root)
    if (bad !== undefined) throw refuseEntry(bad.path, bad.why)
    this.#finishFolder(root, from)
    renameSync(from, folder)
    if (top !== undefined) rmdirSync(this.#work)
    this.#seal(root, folder)
    return top?.name
  }

  #finishFolder(folder: FolderNode, at: string): void {
    for (const [name, node] of folder.entries) {
      const path = `${at}/${name}`
      if (node.kind === 'link') symlinkSync(node.target, path)
      if (node.kind !== 'folder') continue
      this.#finishFolder(node, path)
      this.#seal(node, path)
    }
  }

  #seal({ mode = 0o755 }: FolderNode, at: string): void {
    const fd = openSync(at, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    if (this.#readers.group !== undefined) fchownSync(fd, -1, this.#readers.group)
    closeSync(fd)
    chmodSync(at, sealedMode(mode | 0o500, this.#readers))
  }

  /** The folder of this path, made with all above it where it is not there. */
  #enter(path: string[], name: Buffer): FolderNode {
    let folder = this.#root
    let at = this.#work
    for (const part of path) {
      at += `/${part}`
      let next: TreeNode | undefined = folder.entries.get(part)
      if (next === undefined) {
        this.#count()
        mkdirSync(at, { mode: 0o700 })
        next = newFolder()
        folder.entries.set(part, next)
      }
      if (next.kind === 'link') throw refuseEntry(name, 'goes through a symbolic link')
      if (next.kind !== 'folder') throw refuseEntry(name, 'needs a folder where a file is')
      folder = next
    }
    return folder
  }

  #find(path: string[]): TreeNode | undefined {
    let node: TreeNode | undefined = this.#root
    for (const part of path) node = node?.kind === 'folder' ? node.entries.get(part) : undefined
    return node
  }

  #count(): void {
    this.#room.files -= 1
    if (this.#room.files < 0) throw refuseSize(`it holds more than ${this.#limits.files} files, folders and links`)
  }

  #commonTop(): { name: string; node: FolderNode } | undefined {
    const [[name, node] = []] = this.#root.entries
    if (this.#namesRoot || this.#root.entries.size !== 1 || name === undefined || node?.kind !== 'folder') return undefined
    return rootFiles.some((file) => node.entries.get(file)?.kind === 'file') ? { name, node } : undefined
  }
}
