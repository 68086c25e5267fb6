import { HoldfastError, errorCodes } from '../errors.js'

/** One line of a command's answer. A reader that went away (`| head`) is no error. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Prints what went wrong and what mends it. @returns the exit status */
export function printError(error: unknown): number {
  if (error instanceof HoldfastError) {
    process.stderr.write(`Error: ${error.message}\n${error.hint === undefined ? '' : `Try: ${error.hint}\n`}`)
    return errorCodes[error.code]
  }
  const refusal = explainRefusal(error)
  if (refusal !== undefined) process.stderr.write(`Error: ${refusal.message}\nTry: ${refusal.hint}\n`)
  else process.stderr.write(`Error: ${error instanceof Error ? error.stack : String(error)}\nThis is a fault of holdfast itself; please report it.\n`)
  return 1
}

/** What an operating system may refuse anywhere, and what is then the matter with the machine. */
function explainRefusal(error: unknown): { message: string; hint: string } | undefined {
  const { code, path = '', syscall = '' } = error as NodeJS.ErrnoException
  const where = path === '' ? `${syscall}: ` : `${path}: `
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return { message: `${where}the disk is full`, hint: 'df -h; df -i   # then make room, and run this again' }
    case 'EROFS':
      return { message: `${where}the file system is read-only`, hint: 'findmnt -o TARGET,OPTIONS   # then run this again' }
    case 'EACCES':
    case 'EPERM':
      return { message: `${where}not permitted`, hint: path === '' ? 'run it as a user who may' : `run it as a user who may: ls -ld ${path}` }
    case 'EIO':
      return { message: `${where}input/output error`, hint: 'look for a failing disk: journalctl -k -p err' }
    default:
      return undefined
  }
}
