import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { shellText } from '../config/shell.js'
import { HoldfastError } from '../errors.js'
import { fetchAddress, takeDigits } from './address.js'
import { compareChecksum, takeArchive } from './archive-file.js'
import { fetchGit } from './git.js'
import type { Fetched, FetchOptions, SourceSpec } from './source-spec.js'

/**
 * Brings a source onto this machine, in full: into `archive` or `source.tar` of the staging folder, which must not be there yet
 * (but for an archive that was spooled to `archive` already). A directory stays where it is.
 * @throws HoldfastError `fetch-failed`; `usage` for a request that cannot be; `system-refused`. The signal's reason once it is aborted.
 */
export async function fetchSource(spec: SourceSpec, staging: string, options: FetchOptions): Promise<Fetched> {
  switch (spec.kind) {
    case 'directory':
      await checkFolder(spec.path)
      return { kind: 'directory', path: spec.path, source: { kind: 'directory', path: spec.path, snapshot: true } }
    case 'archive': {
      const expected = spec.sha256 === undefined ? undefined : takeDigits(spec.sha256, spec.name)
      const file = join(staging, 'archive')
      const { sha256 } = await takeArchive(spec.path, file, options)
      if (expected !== undefined) compareChecksum(spec.name, expected, sha256)
      return { kind: 'archive', file, source: { kind: 'archive', name: spec.name, sha256 } }
    }
    case 'address':
      return await fetchAddress(spec, staging, options)
    case 'git':
      return await fetchGit(spec, staging, options)
  }
}

async function checkFolder(path: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    throw new HoldfastError('fetch-failed', `there is no folder ${path}, or it cannot be reached: ${(error as Error).message}`, { hint: `ls -ld ${shellText(path)}`, cause: error })
  })
  if (!found.isDirectory()) throw new HoldfastError('fetch-failed', `${path} is no folder`, { hint: `ls -ld ${shellText(path)}` })
}
