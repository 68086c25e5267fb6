import { open } from 'node:fs/promises'
import { formatSize } from '../config/size.js'
import { HoldfastError } from '../errors.js'

/**
 * Writes an archive that comes as a stream to a file of the staging folder, so that what deploys it needs no client.
 * @throws HoldfastError `usage` for nothing at all, `archive-refused` beyond the limit
 */
export async function spool(chunks: AsyncIterable<Uint8Array>, file: string, limitBytes: number): Promise<number> {
  const handle = await open(file, 'wx', 0o600)
  let bytes = 0
  try {
    for await (const chunk of chunks) {
      bytes += chunk.length
      if (bytes > limitBytes) {
        throw new HoldfastError('archive-refused', `the archive is larger than ${formatSize(limitBytes)}, which is the most that a release may be`, { hint: 'send less, or raise source.max_size in the installed holdfast.toml' })
      }
      for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
  if (bytes === 0) throw new HoldfastError('usage', 'standard input was empty, and an archive was expected there', { hint: 'tar -cz -C FOLDER . | holdfast deploy APP -' })
  return bytes
}
