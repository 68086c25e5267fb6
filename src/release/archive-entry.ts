/** An entry as the archive has it: nothing of it can be relied on. */
export interface ArchiveEntry {
  /** The path, of the root itself `.` or `./`. */
  name: Buffer
  kind: 'file' | 'folder' | 'symbolic link' | 'hard link'
  /** Permission bits. */
  mode: number
  /** Since 1970. */
  mtimeMs?: number
  /** What a link says. A hard link names an entry of the archive. */
  target?: Buffer
}

/** What the readers of the formats give an archive's entries to. All methods throw HoldfastError. */
export interface EntrySink {
  begin(entry: ArchiveEntry): void
  /** Of a file. */
  write(bytes: Buffer): void
  end(): void
  /** How many bytes the contents of all files, and how many entries, may still come. */
  readonly room: { bytes: number; files: number }
}
