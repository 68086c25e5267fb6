import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { unpackAll, type FetchedSource } from '../../../../src/deploy/operation/deploy-code.js'
import type { DeploySite } from '../../../../src/deploy/operation/deploy-site.js'
import type { ReleaseSource } from '../../../../src/release/source-spec.js'
import { describeTree, makePlace, tarOf, type TarEntry } from '../../release/archive-bytes.js'

const limits = { maxBytes: 1000, maxFiles: 5 }
const archive: ReleaseSource = { kind: 'archive', name: 'x.tar', sha256: '0'.repeat(64) }
const git: ReleaseSource = { kind: 'git', repository: '/srv/shop.git', branch: 'main', commit: '0'.repeat(40) }

let at: ReturnType<typeof makePlace>
let results: string[]
beforeEach(() => {
  at = makePlace()
  mkdirSync(join(at.place, 'overlay'))
  results = []
})

const put = (name: string, source: ReleaseSource, ...entries: TarEntry[]) => ({ kind: 'archive' as const, file: at.put(tarOf(...entries), name), source })

async function unpack(fetched: FetchedSource): Promise<string[]> {
  const site = { app: { config: { source: limits } }, staging: at.place, readers: {}, signal: new AbortController().signal } as unknown as DeploySite
  const { folder } = await unpackAll(site, fetched, { step: 'unpack', progress: () => {}, output: () => {}, note: () => {}, result: (text) => results.push(text) })
  return describeTree(folder)
}

describe('a single top folder', () => {
  const inside = { name: 'conf/package.json' }

  it('of an archive is left out, and told', async () => {
    expect(await unpack({ main: put('main', archive, inside) })).toEqual(['package.json 444 '])
    expect(results).toEqual(['1 files, 0.0M; all lay in "conf", which is left out'])
  })

  it('of a repository stays', async () => {
    expect(await unpack({ main: put('main', git, inside) })).toContain('conf/package.json 444 ')
    expect(results).toEqual(['1 files, 0.0M'])
  })

  it('of an overlay stays', async () => {
    expect(await unpack({ main: put('main', archive, { name: 'package.json', body: '{}' }), overlay: put('over', archive, inside) })).toEqual(['conf/ 555', 'conf/package.json 444 ', 'package.json 444 {}'])
  })
})

describe('what a release may be', () => {
  const large = { name: 'a', body: 'x'.repeat(600) }

  it('counts for the overlay together with what it lies over', async () => {
    await expect(unpack({ main: put('main', archive, large), overlay: put('over', archive, { ...large, name: 'b' }) })).rejects.toMatchObject({ code: 'archive-refused', message: expect.stringContaining('more than 400 bytes') })
  })

  it('counts its files in the same way', async () => {
    const many = (front: string): TarEntry[] => [1, 2, 3].map((n) => ({ name: `${front}${n}` }))
    await expect(unpack({ main: put('main', archive, ...many('a')), overlay: put('over', archive, ...many('b')) })).rejects.toMatchObject({ code: 'archive-refused', message: expect.stringContaining('more than 2 files') })
  })

  it.each<[what: string, files: string[], more: number, message: string]>([
    ['alone', ['a', 'b'], 0, 'holds more than 1000 bytes'],
    ['with an overlay', ['a'], 1, 'more than 400 bytes'],
  ])('counts for a folder %s', async (_, files, overlays, message) => {
    const path = join(at.place, 'source')
    mkdirSync(path)
    for (const name of files) writeFileSync(join(path, name), 'x'.repeat(600))
    const main = { kind: 'directory' as const, path, source: { kind: 'directory' as const, path, snapshot: true } }
    await expect(unpack({ main, ...(overlays === 0 ? {} : { overlay: put('over', archive, large) }) })).rejects.toThrow(message)
  })
})
