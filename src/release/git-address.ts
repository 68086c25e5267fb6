import { normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { quote } from '../config/quote.js'
import { isLoopback, parseAddress, showAddress } from '../config/web-address.js'
import { HoldfastError } from '../errors.js'

/** A git repository, as somebody named it. */
export type Repository =
  /** `shown` is the path. */
  | { kind: 'local'; path: string; shown: string }
  /** `shown` is the address without credentials, as it is recorded and given to git; `protocol` as git calls it. */
  | { kind: 'remote'; shown: string; protocol: 'https' | 'http' | 'ssh' | 'git'; credentials?: Credentials }

export interface Credentials {
  /** Protocol, host and port that they are for. */
  origin: string
  username: string
  password: string
}

/**
 * Reads what somebody wrote for a repository: an address of https, ssh or git, `user@host:path`, `file://` or an absolute path.
 * Everything else that git would understand is refused: `ext::` runs commands, and a `-` begins an option.
 * @throws HoldfastError `usage`
 */
export function parseRepository(text: string): Repository {
  if (text === '' || text.length > 2000 || /\p{Cc}/u.test(text)) throw refuse(text, 'is no address of a repository')
  if (text.startsWith('-')) throw refuse(text, 'begins with "-", which would make it an option of git')
  if (/^[A-Za-z0-9+.-]+::/.test(text)) throw refuse(text, 'names a helper of git, which could run anything')
  if (text.startsWith('/')) return takePath(text)
  return /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text) ? parseUrl(text) : parseScp(text)
}

function parseUrl(text: string): Repository {
  const url = parseAddress(text)
  if (url === undefined) throw refuse(showAddress(text), 'is no address')
  const credentials = takeCredentials(url, text)
  url.password = ''
  url.search = ''
  url.hash = ''
  switch (url.protocol) {
    case 'http:':
    case 'https:': {
      const protocol = url.protocol === 'https:' ? 'https' : 'http'
      if (protocol === 'http' && !isLoopback(url)) throw refuse(showAddress(text), 'is neither encrypted nor authenticated: use https:// or ssh://')
      url.username = ''
      return { kind: 'remote', shown: trim(url.href), protocol, ...(credentials === undefined ? {} : { credentials }) }
    }
    case 'ssh:':
      // The user's name is how ssh addresses are written (git@), and no secret.
      if (url.hostname === '' || [url.hostname, url.username].some(looksLikeOption)) throw refuse(showAddress(text), 'has no plain user and host')
      return { kind: 'remote', shown: trim(url.href), protocol: 'ssh' }
    case 'git:':
      url.username = ''
      if (url.hostname === '' || looksLikeOption(url.hostname)) throw refuse(showAddress(text), 'has no plain host')
      return { kind: 'remote', shown: trim(url.href), protocol: 'git' }
    case 'file:':
      try {
        return takePath(fileURLToPath(url))
      } catch {
        throw refuse(showAddress(text), 'names no path of this machine: write file:///srv/git/shop.git')
      }
    default:
      throw refuse(showAddress(text), `has the protocol ${quote(url.protocol)}`)
  }
}

/** `git@example.com:shop.git`, which is ssh. */
function parseScp(text: string): Repository {
  const match = /^(?:([^@/:\s]+)@)?(\[[0-9a-fA-F:.]+\]|[^@/:[\]\s]+):(.+)$/.exec(text)
  if (match === null) throw refuse(text, 'is neither an address nor an absolute path')
  const [, user = '', host = '', path = ''] = match
  if ([user, host, path].some(looksLikeOption)) throw refuse(text, 'has a part that begins with "-", which would make it an option of ssh or git')
  return { kind: 'remote', shown: trim(text), protocol: 'ssh' }
}

function takePath(path: string): Repository {
  const plain = trim(normalize(path))
  return { kind: 'local', path: plain, shown: plain }
}

function takeCredentials(url: URL, text: string): Credentials | undefined {
  if (url.username === '' && url.password === '') return undefined
  let credentials: Credentials
  try {
    credentials = { origin: `${url.protocol}//${url.host}`, username: decodeURIComponent(url.username), password: decodeURIComponent(url.password) }
  } catch {
    throw refuse(showAddress(text), 'has credentials with a % that encodes nothing: write %25')
  }
  // Each is a line of what a credential helper answers.
  if (/\p{Cc}/u.test(credentials.username + credentials.password)) throw refuse(showAddress(text), 'has control characters in its credentials')
  return credentials
}

/** `%2d` is a `-` too, to some. */
const looksLikeOption = (part: string): boolean => /^(?:-|%2d)/i.test(part)
const trim = (text: string): string => text.replace(/(?<=[^/])\/+$/, '')

function refuse(text: string, why: string): HoldfastError {
  return new HoldfastError('usage', `the repository ${quote(text)} ${why}`, {
    hint: 'write https://host/path.git, ssh://git@host/path.git, git@host:path.git or the absolute path of a repository on this machine',
  })
}
