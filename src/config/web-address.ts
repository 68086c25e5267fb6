/** An address such as `https://example.com/shop.tar.gz`; undefined when it is none. */
export function parseAddress(text: string): URL | undefined {
  try {
    return new URL(text)
  } catch {
    return undefined
  }
}

/** Whether an address names this machine, so that what is fetched from it crosses no network. */
export function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

/**
 * An address without what may be a secret in it, for people and for the record: no credentials, no query. The account of
 * an ssh address is none, and needed. Of what is no address, where a password may be anywhere, the protocol alone.
 */
export function showAddress(address: string): string {
  const url = parseAddress(address)
  if (url === undefined) return `${/^[a-z][a-z0-9+.-]*:\/\//i.exec(address)?.[0] ?? ''}…`
  if (url.protocol !== 'ssh:') url.username = ''
  url.password = ''
  url.search = ''
  url.hash = ''
  // A quote would end the quotes that a hint puts around it.
  return url.href.replaceAll('%7Bversion%7D', '{version}').replaceAll("'", '%27')
}
