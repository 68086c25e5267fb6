import { describe, expect, test } from 'vitest'
import { parseRepository } from '../../../src/release/git-address.js'
import { catchError } from '../config/fixtures.js'

describe('a repository', () => {
  test.each([
    '--upload-pack=touch /tmp/canary', '-oProxyCommand=x', 'ext::sh -c touch% /tmp/canary', 'fd::17', 'git-remote-x::y', '', 'shop.git', './shop.git', '../x',
    'http://example.com/x.git', 'ftp://example.com/x.git', 'ssh://-oProxyCommand=x/y', 'ssh://-l@host/y', 'ssh:///x', '-host:path', 'git@-host:path', '-user@host:path',
    'host:-path', 'a\nb', 'file://host/x.git', 'https://a:%0a@example.com/x.git', 'https://a:%zz@example.com/x.git', 'git://%2dx/y', `https://${'x'.repeat(3000)}`,
  ])('%j is refused', (repository) => {
    const error = catchError(() => parseRepository(repository))
    expect(error.code).toBe('usage')
    expect(error.message).not.toContain('a:%')
  })

  test.each([
    ['https://me:secret@example.com/shop.git/', { kind: 'remote', shown: 'https://example.com/shop.git', protocol: 'https', credentials: { origin: 'https://example.com', username: 'me', password: 'secret' } }],
    ['https://token@example.com:8443/a%20b.git?x=y#z', { kind: 'remote', shown: 'https://example.com:8443/a%20b.git', protocol: 'https', credentials: { origin: 'https://example.com:8443', username: 'token', password: '' } }],
    ['ssh://git:secret@example.com:22/~me/shop.git', { kind: 'remote', shown: 'ssh://git@example.com:22/~me/shop.git', protocol: 'ssh' }],
    ['git@example.com:me/shop.git', { kind: 'remote', shown: 'git@example.com:me/shop.git', protocol: 'ssh' }],
    ['[::1]:shop.git', { kind: 'remote', shown: '[::1]:shop.git', protocol: 'ssh' }],
    ['git://example.com/shop.git', { kind: 'remote', shown: 'git://example.com/shop.git', protocol: 'git' }],
    ['file:///srv/a%20b.git', { kind: 'local', path: '/srv/a b.git', shown: '/srv/a b.git' }],
    ['/srv//x/../shop.git/', { kind: 'local', path: '/srv/shop.git', shown: '/srv/shop.git' }],
  ])('%s', (text, expected) => {
    expect(parseRepository(text)).toEqual(expected)
  })
})
