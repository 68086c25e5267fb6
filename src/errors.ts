/**
 * The one error class of Holdfast. Operators read these at night: the message says what, where, and
 * observed against expected; the hint is the command (or the edit) that mends it.
 */
export class HoldfastError extends Error {
  /** A stable name of the kind of error, such as `config-invalid`; scripts may match on it. */
  readonly code: ErrorCode
  /** What to do about it, usually a command to paste. */
  readonly hint: string | undefined

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'HoldfastError'
    this.code = code
    this.hint = options.hint
  }
}

/**
 * Every code, and the exit status of a command that ends with it: 2 where the request was refused and
 * nothing was changed, 1 where something was tried and failed.
 */
export const errorCodes = {
  /** The configuration is missing, malformed, or says something that cannot be. */
  'config-invalid': 2,
  /** The command line asks for something that cannot be. */
  'usage': 2,
  /** The machine is not as it must be: no systemd, no root, a port in use, a name taken. */
  'machine-unfit': 2,
  /** A file that Holdfast wrote was changed by somebody else. */
  'unit-edited': 2,
  /** The app is not installed here. */
  'not-installed': 2,
  /** The source folder could not be taken as a release. */
  'release-failed': 1,
  /** An archive holds what a release may not, cannot be read, or is larger than allowed. */
  'archive-refused': 1,
  /** A source could not be fetched, or is not what was asked for. */
  'fetch-failed': 1,
  /** A hook ended with a failure. */
  'hook-failed': 1,
  /** A deploy was killed, or came to no end that it could tell. */
  'deploy-failed': 1,
  /** Somebody else deploys the app. */
  'busy': 2,
  /** Somebody else changed the record since it was read. */
  'state-changed': 1,
  /** The recorded state cannot be read. */
  'state-corrupt': 1,
  /** The new generation did not become live; the old one serves on. */
  'handover-failed': 1,
  /** There is no room for another generation: memory, or too much that drains. */
  'not-admitted': 2,
  /** The operating system refused: a full disk, a read-only filesystem, a missing permission. */
  'system-refused': 1,
  /** A program of systemd's did not do what it was asked. */
  'systemd-failed': 1,
} as const satisfies Record<string, 1 | 2>

export type ErrorCode = keyof typeof errorCodes

/**
 * What the operating system refused (a full disk, a missing permission) as an error for operators; any
 * other error as it is, since it is a fault of Holdfast's own.
 */
export function explainSystemError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof HoldfastError) return error
  const { code, syscall, path } = error as NodeJS.ErrnoException
  if (code === undefined || syscall === undefined) return error
  const where = path === undefined ? `${syscall}: ` : `${path}: `
  const known = systemRefusals[code]
  return new HoldfastError('system-refused', where + (known?.what ?? error.message), {
    ...(known === undefined ? {} : { hint: known.mend }),
    cause: error,
  })
}

const permission = { what: 'not permitted', mend: 'run it as a user who may, such as with sudo, or with --user for your own manager' }
const systemRefusals: Record<string, { what: string; mend: string }> = {
  ENOSPC: { what: 'the disk is full', mend: 'df -h; df -i   # then make room, and run this again' },
  EDQUOT: { what: 'the quota is used up', mend: 'quota   # then make room, and run this again' },
  EROFS: { what: 'the filesystem is read-only', mend: 'findmnt -o TARGET,OPTIONS   # then run this again' },
  EACCES: permission,
  EPERM: permission,
  EMFILE: { what: 'too many open files', mend: 'ulimit -n' },
  EIO: { what: 'input/output error', mend: 'journalctl -k -p err   # look for a failing disk' },
}
