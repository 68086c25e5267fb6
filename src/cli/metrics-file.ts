import { randomBytes } from 'node:crypto'
import { closeSync, fchmodSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { HoldfastError } from '../errors.js'

/** @throws HoldfastError `usage` for a file that node_exporter would not read */
export function checkTextfile(file: string): void {
  if (!basename(file).endsWith('.prom') || basename(file) === '.prom') {
    throw new HoldfastError('usage', `--textfile ${file}: node_exporter reads files alone whose names end in .prom`, { hint: 'holdfast metrics --textfile /var/lib/prometheus/node-exporter/holdfast.prom' })
  }
  if (statSync(dirname(file), { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new HoldfastError('usage', `--textfile ${file}: there is no folder ${dirname(file)}`, { hint: 'the one that node_exporter was started with: --collector.textfile.directory' })
  }
}

/**
 * Puts the text in the place of a file so that a reader finds all of the old one or all of the new. The folder may be
 * another user's: nothing that lies there is followed or opened. Not synced: the next one comes soon.
 */
export function writeTextfile(file: string, text: string): void {
  const temporary = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString('hex')}`)
  const fd = openSync(temporary, 'wx', 0o600)
  try {
    try {
      const bytes = Buffer.from(text)
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
      fchmodSync(fd, 0o644) // whatever the umask
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}
