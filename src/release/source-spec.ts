/** Where the code of a release came from, as it is recorded. Addresses and repositories without their credentials. */
export type ReleaseSource =
  | { kind: 'directory'; path: string; snapshot: boolean }
  /** `url` for one that was fetched; `name` is a file's, or `standard input`. */
  | { kind: 'archive'; name: string; url?: string; sha256: string }
  /** `commit` in full. */
  | { kind: 'git'; repository: string; branch: string; commit: string }

/** What somebody asks to deploy. */
export type SourceSpec =
  /** An absolute path. */
  | { kind: 'directory'; path: string }
  /** A file on this machine; `name` is how people know it. */
  | { kind: 'archive'; path: string; name: string; sha256?: string }
  /** `sha256` of the file, or the address of a checksum file as sha256sum(1) writes it. One of the two is required. */
  | { kind: 'address'; url: string; sha256?: string; checksumUrl?: string }
  /** Without a branch: the one deployed last, else the repository's own HEAD. Without a commit: the branch's tip. */
  | { kind: 'git'; repository: string; branch?: string; commit?: string }

/** A source that is on this machine, in full. */
export type Fetched =
  | { kind: 'directory'; path: string; source: ReleaseSource }
  | { kind: 'archive'; file: string; source: ReleaseSource }

/** What an archive may unpack to. */
export interface UnpackLimits {
  /** Of all files together. */
  bytes: number
  files: number
}

export interface FetchOptions {
  /** Of a download, in bytes. */
  limitBytes: number
  /** The state folder of the app: git mirrors are kept in `git/` below it. */
  state: string
  /** What the newest release from git was taken from. */
  lastGit?: { repository: string; branch: string }
  onProgress?(progress: { bytes: number; totalBytes?: number }): void
  /** One sentence each, such as what git says. */
  onNote?(text: string): void
  signal?: AbortSignal
}
