/** Archives of an app's tree, as people make them: with the real programs. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { mustRun } from './run.js'

export const archiveKinds = ['tar.gz', 'tgz', 'tar.zst', 'zip'] as const
export type ArchiveKind = (typeof archiveKinds)[number]

/** A folder that is removed when the test ends. */
export async function temporaryFolder(prefix: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `holdfast-${prefix}-`))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Packs a folder's contents, and returns the archive's path. */
export async function pack(folder: string, kind: ArchiveKind, name = 'shop'): Promise<string> {
  const file = join(await temporaryFolder('archive'), `${name}.${kind}`)
  if (kind === 'zip') await mustRun('zip', ['--quiet', '--recurse-paths', '--symlinks', file, '.'], { cwd: folder })
  else await mustRun('tar', ['--create', '--auto-compress', '--file', file, '--directory', folder, '.'])
  return file
}

/** Ways in which an archive reaches out of its folder, or past 100 MB: shell texts that write one to "$1", run in a folder of their own. */
export const hostileArchives = {
  'a path that climbs out': (victim: string) => `mkdir x; echo evil > x/evil; tar -cPf "$1" --transform 's,^x/evil$,../../../../../../../../..${victim},' x/evil`,
  'an absolute path': (victim: string) => `echo evil > evil; tar -cPf "$1" --transform 's,^evil$,${victim},' evil`,
  'a file behind a link out': (victim: string) =>
    `ln -s "$(dirname ${victim})" out; tar -cf "$1" out; rm out; mkdir out; echo evil > "out/$(basename ${victim})"; tar -rf "$1" "out/$(basename ${victim})"`,
  'a hard link to a file outside': (victim: string) => `echo evil > a; ln a b; tar -cPf "$1" --transform 's,^a$,${victim},RS' a b`,
  'a device': () => 'mknod null c 1 3; tar -cf "$1" null',
  'a bomb': () => 'truncate --size 150M zeros; tar -cf - zeros | gzip -1 > "$1"',
} as const

export const sha256Of = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex')
