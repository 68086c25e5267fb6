import { formatAddress, parseAddress } from '../../config/address.js'
import type { Address } from '../../config/model.js'

/** `Listen=` as `systemctl show` prints it, a line per address: `[::]:8080 (Stream)`. */
export function parseListen(property: string): { text: string; address: Address | undefined }[] {
  return property.split('\n').filter(Boolean).map((line) => {
    const text = line.replace(/ \(\w+\)$/, '')
    return { text, address: parseAddress(unescapePath(text)).address }
  })
}

/** Whether systemd listens on this very address. It shows a bare port as `[::]`, and as `0.0.0.0` where there is no IPv6. */
export function isSame(bound: Address, address: Address): boolean {
  if (bound.kind === 'tcp' && address.kind === 'tcp' && address.host === undefined) {
    return bound.port === address.port && (bound.host === undefined || bound.host === '::' || bound.host === '0.0.0.0')
  }
  return formatAddress(bound) === formatAddress(address)
}

/** systemd shows a path as C would write it: `\"`, `\\`, and `\303\251` for what is not ASCII. */
function unescapePath(text: string): string {
  const bytes = text.replace(/\\(?:([0-7]{3})|(.))/g, (_, octal?: string, plain?: string) => (octal === undefined ? plain as string : String.fromCharCode(Number.parseInt(octal, 8))))
  return Buffer.from(bytes, 'latin1').toString('utf8')
}
