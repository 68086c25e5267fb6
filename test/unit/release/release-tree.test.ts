import { expect, it } from 'vitest'
import { findBadLinks, newFolder, type FolderNode } from '../../../src/release/release-tree.js'

/** `a/b` is a file, `a/b/` a folder, and `a/b -> c` a link. */
function treeOf(...lines: string[]): FolderNode {
  const root = newFolder()
  for (const line of lines) {
    const [path = '', target] = line.split(' -> ')
    const parts = path.split('/')
    const name = parts.pop() as string
    let folder = root
    for (const part of parts) {
      const next = folder.entries.get(part) ?? newFolder()
      folder.entries.set(part, next)
      folder = next as FolderNode
    }
    if (name !== '') folder.entries.set(name, target === undefined ? { kind: 'file' } : { kind: 'link', target })
  }
  return root
}

it.each([
  ['a -> b'], ['a -> .'], ['d/a -> ..'], ['d/a -> ../'], ['d/e/a -> ../../d//./e'], ['a -> not/there/..'],
  ['a -> b', 'b -> c', 'c/'], ['a -> d/b/../x', 'd/b -> e', 'd/e/'], ['d/up -> ..', 'x -> d/up/d/up/x2', 'x2'],
])('takes %s', (...lines) => {
  expect(findBadLinks(treeOf(...lines))).toEqual([])
})

it.each<[string, string[], string, RegExp]>([
  ['an absolute one', ['a -> /'], 'a', /absolute/],
  ['one up from the root', ['a -> ..'], 'a', /leads out/],
  ['one up too far', ['d/a -> ../..'], 'd/a', /leads out/],
  ['one up and back', ['d/a -> ../../release/d'], 'd/a', /leads out/],
  ['one up from what is not there', ['a -> not/../..'], 'a', /leads out/],
  ['one by a link that shortens the way', ['d/e/b -> ../..', 'a -> d/e/b/..'], 'a', /leads out/],
  ['one by two links', ['x/b -> y', 'x/y -> ..', 'a -> x/b/../canary'], 'a', /leads out/],
  ['itself', ['a -> a'], 'a', /circle/],
  ['a circle on its way', ['a -> b/x', 'b -> c', 'c -> b'], 'a', /circle/],
])('refuses %s', (_, lines, path, why) => {
  expect(findBadLinks(treeOf(...lines))).toContainEqual({ path, why: expect.stringMatching(why) })
})

it('follows forty links in a row, as the kernel does, and no more', () => {
  const chain = (length: number): FolderNode => treeOf('l0', ...Array.from({ length }, (_, n) => `l${n + 1} -> l${n}`))
  expect(findBadLinks(chain(41))).toEqual([])
  expect(findBadLinks(chain(42)).map(({ path }) => path)).toEqual(['l42'])
})
