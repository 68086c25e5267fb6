import { readFileSync } from 'node:fs'
import { rootCertificates } from 'node:tls'

/** Where distributions keep the certificates that the machine trusts: Debian, Fedora, openSUSE. */
const bundles = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/ca-bundle.pem']

/**
 * The authorities that the machine trusts, as curl and git take them, so that one that an admin added counts; node's own
 * where the machine has no list. `NODE_EXTRA_CA_CERTS` adds a file of more, as it does for node.
 */
export function trustedCertificates(env: NodeJS.ProcessEnv = process.env): string[] {
  const machine = bundles.map(tryRead).find((text) => text !== undefined)
  const extra = env['NODE_EXTRA_CA_CERTS'] === undefined ? undefined : tryRead(env['NODE_EXTRA_CA_CERTS'])
  const own = machine === undefined ? [...rootCertificates] : [machine]
  return extra === undefined ? own : [...own, extra]
}

function tryRead(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
