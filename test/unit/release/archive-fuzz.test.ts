import { existsSync, readdirSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { beforeAll, expect, it } from 'vitest'
import { HoldfastError } from '../../../src/errors.js'
import { unpackArchive } from '../../../src/release/archive.js'
import { removeRelease } from '../../../src/release/store.js'
import { describeTree, makePlace, pax, tarEntry, tarOf, zipOf } from './archive-bytes.js'

// The same damage in each run: one that fails can be looked at.
const limits = { bytes: 100_000, files: 100 }
const archives: Record<string, Buffer> = {}
beforeAll(() => {
  const tar = tarOf(
    { name: 'a/', type: '5' }, { name: 'a/file', body: 'x'.repeat(600), mode: 0o755 }, pax({ path: `a/${'long'.repeat(30)}`, mtime: '3.5' }), { name: 'x', body: 'y' },
    { name: 'a/l', type: '2', target: '../a/file' }, { name: 'a/h', type: '1', target: 'a/file' }, tarEntry({ name: '././@LongLink', type: 'L', body: `b/${'n'.repeat(120)}\0` }), { name: 'b/n', body: 'z' },
  )
  archives.tar = tar
  archives.gzip = gzipSync(tar)
  archives.zip = zipOf([
    { name: 'a/', method: 0, mode: 0o040755 }, { name: 'a/file', body: 'x'.repeat(600), mode: 0o100755 }, { name: 'a/l', body: '../a/file', mode: 0o120777 }, { name: 's', body: 'stored', method: 0 },
  ])
})

/** A small linear generator (Numerical Recipes). */
function makeRandom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** Either the whole is there, within the limits and with no link out, or nothing is; and never anything beside it. */
async function unpackDamaged(place: ReturnType<typeof makePlace>, bytes: Buffer, what: string): Promise<'taken' | 'refused'> {
  const archive = place.put(bytes)
  const outcome = await unpackArchive(archive, place.release, { limits }).then(
    ({ files, bytes }) => ({ files, bytes }),
    (error: unknown) => error,
  )
  expect(readdirSync(place.canary), what).toEqual(['file'])
  if (outcome instanceof Error) {
    if (!(outcome instanceof HoldfastError)) throw new Error(`${what}: ${outcome.stack}`)
    expect(readdirSync(place.place).sort(), what).toEqual(['archive', 'canary'])
    return 'refused'
  }
  expect(readdirSync(place.place).sort(), what).toEqual(['archive', 'canary', 'release'])
  expect(outcome, what).toSatisfy(({ files, bytes }: typeof limits) => files <= limits.files && bytes <= limits.bytes)
  const tree = describeTree(place.release)
  // Names may be changed by the damage, rights never: nobody writes, no bit is special.
  expect(tree.filter((line) => !/ -> |\/ [45][045]{2}$| [45][045]{2} /.test(line)), what).toEqual([])
  expect(tree.filter((line) => / -> (\/|\.\.\/\.\.)/.test(line)), what).toEqual([])
  removeRelease(place.release)
  return 'taken'
}

it.each(['tar', 'gzip', 'zip'])('a %s that is cut anywhere is refused', async (format) => {
  const whole = archives[format] as Buffer
  const place = makePlace()
  const step = format === 'tar' ? 512 : 7
  for (let length = 0; length < whole.length; length += step) {
    for (const at of new Set([Math.max(0, length - 1), length, length + 1])) {
      if (at < whole.length) expect(await unpackDamaged(place, whole.subarray(0, at), `cut at ${at}`), `cut at ${at}`).toBe('refused')
    }
  }
  expect(await unpackDamaged(place, whole, 'whole')).toBe('taken')
})

it.each(['tar', 'gzip', 'zip'])('a %s with any byte changed is taken as a whole or refused', async (format) => {
  const whole = archives[format] as Buffer
  const place = makePlace()
  const random = makeRandom(20_261_121)
  const outcomes = { taken: 0, refused: 0 }
  for (let n = 0; n < 200; n += 1) {
    const bytes = Buffer.from(whole)
    const changes = 1 + random(3)
    const at = Array.from({ length: changes }, () => random(bytes.length))
    for (const place of at) bytes[place] = random(2) === 0 ? random(256) : (bytes[place] as number) ^ (1 << random(8))
    outcomes[await unpackDamaged(place, bytes, `change ${n} of bytes ${at.join(', ')}`)] += 1
  }
  // Most of a small archive is headers under checksums; padding and contents of a tar are not.
  expect(outcomes.refused).toBeGreaterThan(50)
}, 30_000)

it('a tar whose headers are changed and whose checksums are right again is taken as a whole or refused', async () => {
  const whole = archives.tar as Buffer
  const place = makePlace()
  const random = makeRandom(7)
  const outcomes = { taken: 0, refused: 0 }
  const evil = ['..', '/', './', '../', 'a', 'a/file', '\0', '\u00ff', '7', '2', '1', '5', 'L', 'x', 'g', '0777', '99999999999']
  for (let n = 0; n < 200; n += 1) {
    const bytes = Buffer.from(whole)
    const fields = [0, 100, 124, 156, 157, 257, 345]
    const header = 512 * random(bytes.length / 512)
    for (let k = 0; k <= random(2); k += 1) bytes.write(evil[random(evil.length)] as string, header + (fields[random(fields.length)] as number), 'latin1')
    bytes.fill(' ', header + 148, header + 156)
    const sum = bytes.subarray(header, header + 512).reduce((total, byte) => total + byte, 0)
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, header + 148, 'latin1')
    outcomes[await unpackDamaged(place, bytes, `change ${n} in the block at ${header}`)] += 1
  }
  expect(outcomes.taken).toBeGreaterThan(50)
  expect(outcomes.refused).toBeGreaterThan(50)
}, 30_000)

it('leaves no file open', async () => {
  const open = (): number => readdirSync('/proc/self/fd').length
  const place = makePlace()
  const evil = gzipSync(tarOf({ name: 'a', body: 'x'.repeat(3000) }, { name: '../b' }))
  await unpackDamaged(place, evil, 'evil')
  const before = open()
  for (let n = 0; n < 30; n += 1) {
    await unpackDamaged(place, evil, 'evil')
    await unpackDamaged(place, (archives.tar as Buffer).subarray(0, 1300), 'cut in a file')
    await unpackDamaged(place, archives.zip as Buffer, 'a zip')
  }
  expect(open()).toBeLessThan(before + 10)
  expect(existsSync(place.release)).toBe(false)
})
