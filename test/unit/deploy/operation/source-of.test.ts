import { describe, expect, it } from 'vitest'
import { overlayOf, sourceOf, sourceText, sourceArguments, spooled, type PathKind, type SourceOptions } from '../../../../src/deploy/operation/source-of.js'
import { HoldfastError } from '../../../../src/errors.js'

const kinds: Record<string, PathKind> = { '/w/shop': 'folder', '/srv/shop': 'folder', '/srv/shop.git': 'folder', '/w/shop.tgz': 'file', '/w/pipe': 'other' }
const of = (word: string, options: Partial<SourceOptions> = {}) => sourceOf(word, { cwd: '/w', kindOf: (path) => kinds[path] ?? 'absent', ...options })
const refusal = (act: () => unknown): string => {
  try {
    act()
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'usage' && error.hint !== undefined) return error.message
    throw error
  }
  throw new Error('it was not refused')
}
const sum = 'AB'.repeat(32)

describe('a source', () => {
  it.each([
    ['shop', { kind: 'directory', path: '/w/shop' }],
    ['../srv/shop/', { kind: 'directory', path: '/srv/shop' }],
    ['shop.tgz', { kind: 'archive', path: '/w/shop.tgz', name: 'shop.tgz' }],
    ['-', { kind: 'input' }],
    ['../srv/shop.git', { kind: 'git', repository: '/srv/shop.git' }],
    ['git@example.com:team/shop.git', { kind: 'git', repository: 'git@example.com:team/shop.git' }],
    ['deploy@example.com:shop', { kind: 'git', repository: 'deploy@example.com:shop' }],
    ['ssh://git@example.com/shop', { kind: 'git', repository: 'ssh://git@example.com/shop' }],
    ['git://example.com/shop', { kind: 'git', repository: 'git://example.com/shop' }],
    ['https://example.com/shop.git', { kind: 'git', repository: 'https://example.com/shop.git' }],
    ['file:///srv/shop.git', { kind: 'git', repository: 'file:///srv/shop.git' }],
  ])('%s', (word, spec) => {
    expect(of(word)).toEqual(spec)
  })

  it('is git where a branch or a commit is given, of a folder and of an address too', () => {
    expect(of('shop', { branch: 'main' })).toEqual({ kind: 'git', repository: '/w/shop', branch: 'main' })
    expect(of('https://example.com/shop', { commit: 'ABCDEF1' })).toEqual({ kind: 'git', repository: 'https://example.com/shop', commit: 'abcdef1' })
    expect(of('https://example.com/shop', { isRepository: true })).toEqual({ kind: 'git', repository: 'https://example.com/shop' })
  })

  it('may have a checksum where it is an archive', () => {
    expect(of('shop.tgz', { sha256: sum })).toMatchObject({ sha256: sum.toLowerCase() })
    expect(of('-', { sha256: sum })).toEqual({ kind: 'input', sha256: sum.toLowerCase() })
    expect(of('https://example.com/shop.zip', { sha256: sum })).toEqual({ kind: 'address', url: 'https://example.com/shop.zip', sha256: sum.toLowerCase() })
    expect(of('file:///srv/shop.zip', { sha256: sum })).toMatchObject({ kind: 'address' })
  })

  it.each<[string, Partial<SourceOptions>, string]>([
    ['nothing', {}, 'there is no /w/nothing'],
    ['', {}, 'names no source'],
    ['a\nb', {}, 'names no source'],
    ['pipe', {}, 'neither a folder nor a file'],
    ['http://example.com/shop.zip', {}, 'http:// is no address'],
    ['ext::sh -c x.git', {}, 'there is no'],
    ['--upload-pack=x.git', {}, 'there is no /w/--upload-pack=x.git'],
    ['https://example.com/shop.zip', {}, 'needs the checksum'],
    ['shop', { sha256: sum }, 'is a folder'],
    ['shop.tgz', { sha256: 'abc' }, '64 hexadecimal digits'],
    ['git@example.com:shop.git', { sha256: sum }, 'is a git repository'],
    ['shop.tgz', { branch: 'main' }, '--branch is about a git repository'],
    ['-', { commit: 'abcdef1' }, '--commit is about a git repository'],
    ['shop', { branch: '--output=/etc/x' }, 'cannot be a branch'],
    ['shop', { branch: 'a..b' }, 'cannot be a branch'],
    ['shop', { commit: 'HEAD~1' }, '--commit takes'],
  ])('%j with %j is refused', (word, options, why) => {
    expect(refusal(() => of(word, options))).toContain(why)
  })

  it('is told without its credentials, and asked for again so', () => {
    const secret = of('https://anna:s3cret@example.com/shop.zip?token=t0ken', { sha256: sum })
    expect(sourceText(secret)).toBe('https://example.com/shop.zip')
    expect(sourceArguments(secret)).toEqual(['https://example.com/shop.zip', '--sha256', sum.toLowerCase()])
    const git = of('https://t0ken@example.com/shop.git', { branch: 'main', commit: 'abcdef1234567890' })
    expect(sourceText(git)).toBe('https://example.com/shop.git branch main commit abcdef123456')
    expect(sourceArguments(git)).toEqual(['https://example.com/shop.git', '--branch', 'main', '--commit', 'abcdef1234567890'])
    expect(sourceText(of('ssh://git:pass@example.com/shop.git'))).toBe('ssh://git@example.com/shop.git')
    expect(sourceText(of('git@example.com:shop.git'))).toBe('git@example.com:shop.git')
  })

  it.each(['https://user:p@ss@h.example/x.zip', 'https://user:p%40ss@h.example/x.zip#p@ss', 'https://h.example/x.zip?a=p@ss'])('%s leaks nothing of its password', (word) => {
    const asked = of(word, { sha256: sum })
    expect(sourceText(asked)).toBe('https://h.example/x.zip')
    expect(sourceArguments(asked)[0]).toBe('https://h.example/x.zip')
    expect(refusal(() => of(word))).not.toContain('ss')
  })
  it.each(['ssh://git:p@ss@h.example/x', 'ssh://git:p:a@s:s@h.example/x', 'git://u:p@ss@h.example/x.git', 'https://u:p@ss@h.example/x.git'])('%s leaks nothing of its password', (word) => {
    expect(sourceText(of(word))).toMatch(/^(?:ssh:\/\/git@|git:\/\/|https:\/\/)h\.example\/x(?:\.git)?$/)
  })
  it.each(['https://user:p/ss@h.example/x.zip', 'ssh://git:p/ss@h.example/x', 'https://u:p?ss@h.example/x.git', 'https://u:p#ss@[h.example/x.git'])('%s is no address, and not shown', (word) => {
    expect(refusal(() => of(word))).toMatch(/^(?:https|ssh):\/\/… is no address$/)
  })

  it('from standard input is an archive once it is spooled, under the name that it has where it comes from', () => {
    expect(spooled({ kind: 'input', sha256: 'x' }, '/s/archive')).toEqual({ kind: 'archive', path: '/s/archive', name: 'standard input', sha256: 'x' })
    expect(spooled({ kind: 'input', name: 'shop-1.2.zip' }, '/s/archive')).toEqual({ kind: 'archive', path: '/s/archive', name: 'shop-1.2.zip' })
  })
})

describe('an overlay', () => {
  const overlay = (word: string, sha256?: string) => overlayOf(word, { cwd: '/w', kindOf: (path) => kinds[path] ?? 'absent', ...(sha256 === undefined ? {} : { sha256 }) })
  it('is an archive, here or at an address', () => {
    expect(overlay('shop.tgz')).toMatchObject({ kind: 'archive' })
    expect(overlay('https://example.com/o.zip', sum)).toMatchObject({ kind: 'address', sha256: sum.toLowerCase() })
    expect(refusal(() => overlay('https://example.com/o.zip'))).toContain('--overlay')
    expect(refusal(() => overlay('shop'))).toContain('a folder')
    expect(refusal(() => overlay('git@example.com:o.git'))).toContain('a git repository')
  })
})
