import { isTable, optional, tableOf, wholeNumber, withDefault, type Check, type TableCheck, type ValuesOf } from './check.js'
import { quote } from './quote.js'
import { sizeBetween } from './size.js'
import { isLoopback, parseAddress } from './web-address.js'

const example = 'url = "https://ci.example.com/shop-{version}.tar.gz"'

/** An address that a version is put into, where `{version}` stands. */
const versionAddress: Check<string> = (value, site) => {
  const address = addressPattern(value, site)
  if (address === undefined) return undefined
  return address.includes('{version}') ? address : site.report(`has no {version} in it, which each version would be put in the place of: write ${example}`)
}

/** The same, but one address for all versions will do: a checksum file may list them all. */
const addressPattern: Check<string> = (value, site) => {
  if (typeof value !== 'string') return site.report(`expected an address, got ${quote(value)}: write ${example}`)
  if (value.length > 2000) return site.report('is longer than 2000 characters, which no address is')
  if (/[\s\p{Cc}]/u.test(value)) return site.report('has spaces or control characters in it: write %20 for a space')
  const other = value.match(/\{[^}]*\}?/g)?.find((placeholder) => placeholder !== '{version}')
  if (other !== undefined) return site.report(`${quote(other)} stands for nothing: {version} alone is put in`)
  const [one, two] = ['1', '2'].map((version) => parseAddress(value.replaceAll('{version}', version)))
  if (one === undefined || two === undefined) return site.report(`is no address: write ${example}`)
  if (placeOf(one) !== placeOf(two)) return site.report(`{version} can stand behind the name of the server only: write ${example}`)
  return checkProtocol(one, site) && value
}

const placeOf = ({ protocol, username, password, host }: URL): string => [protocol, username, password, host].join('\0')

function checkProtocol(url: URL, site: { report(message: string): undefined }): true | undefined {
  switch (url.protocol) {
    case 'https:':
      return true
    case 'file:':
      return url.host === '' ? true : site.report(`file:// takes a path of this machine: write "file:///srv/releases/shop-{version}.tar.gz"`)
    case 'http:':
      return isLoopback(url) ? true : site.report('http:// is neither encrypted nor authenticated, and is taken from this machine alone: write https://')
    default:
      return site.report(`${quote(url.protocol)} is none of https: and file:: write ${example}`)
  }
}

/** A file of the release, relative to its folder. */
const fileInRelease: Check<string> = (value, site) => {
  if (typeof value !== 'string' || value === '') return site.report(`expected the path of a file in the release, such as "VERSION", got ${quote(value)}`)
  if (/\p{Cc}/u.test(value) || value.length > 1000) return site.report(`${quote(value)} cannot be the path of a file: write one such as "VERSION"`)
  if (value.startsWith('/')) return site.report(`${quote(value)} is an absolute path: write it relative to the release's folder`)
  const parts = value.replace(/^(?:\.\/)+/, '').split('/')
  if (parts.includes('..')) return site.report(`${quote(value)} leads out of the release: name a file in it, without ..`)
  return parts.every((part) => part !== '' && part !== '.') ? parts.join('/') : site.report(`${quote(value)} is no plain path of a file: write one such as "VERSION"`)
}

const shape = {
  url: optional(versionAddress),
  checksum: optional(addressPattern),
  version_file: optional(fileInRelease),
  max_size: withDefault(sizeBetween('1M', '1T'), '4G'),
  max_files: withDefault(wholeNumber(1, 10_000_000), 500_000),
}

const table = tableOf(shape)

/** `[source]`: where releases come from, and what they may be. */
export const sourceTable: TableCheck<typeof shape> = Object.assign(
  ((value, site) => {
    const source = table(value, site)
    if (source === undefined || !isTable(value)) return undefined
    if (source.checksum !== undefined && source.url === undefined) return site.at('checksum').report(`is about \`url\`, and there is none: add ${example}, or remove it`)
    return source
  }) satisfies Check<ValuesOf<typeof shape>>,
  { shape },
)
