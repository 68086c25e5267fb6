import type { Release } from './release.js'

/** Where a release came from, in a few words: `/srv/shop`, `shop-1.2.zip`, `main@3fa9c1d of git@…/shop.git`. */
export function sourceWords({ source, overlay }: Pick<Release, 'source' | 'overlay'>): string {
  return `${placeWords(source)}${overlay === undefined ? '' : ` + overlay ${overlay.name}`}`
}

function placeWords(source: Release['source']): string {
  switch (source.kind) {
    case 'directory':
      return source.snapshot ? source.path : `${source.path} in place`
    case 'archive':
      return source.url === undefined ? source.name : shortenAddress(source.url)
    case 'git':
      return `${source.branch}@${source.commit.slice(0, 7)} of ${shortenAddress(source.repository)}`
  }
}

/** The begin that tells how it is reached and the end that tells what it is. */
function shortenAddress(address: string): string {
  if (address.length <= 32) return address
  const parts = /^([a-z][a-z0-9+.-]*:\/\/|[^@/:]+@)?.*[/:]([^/:]+)\/?$/i.exec(address)
  return parts === null ? address : `${parts[1] ?? ''}…/${parts[2]}`
}
