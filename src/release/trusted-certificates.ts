import { readFileSync } from 'node:fs'

/** Where distributions keep the certificates that the machine trusts: Debian, Fedora, openSUSE. */
const bundles = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/ca-bundle.pem']

/**
 * The authorities that the machine trusts, as curl and git do, so that one that an admin added counts; undefined for
 * node's own where the machine has no list. `NODE_EXTRA_CA_CERTS` adds a file of more, as it does for node.
 */
export function trustedCertificates(env: NodeJS.ProcessEnv = process.env): string[] | undefined {
  const machine = bundles.map(tryRead).find((text) => text !== undefined)
  const extra = env['NODE_EXTRA_CA_CERTS'] === undefined ? undefined : tryRead(env['NODE_EXTRA_CA_CERTS'])
  // Without `ca` node uses its own, and reads NODE_EXTRA_CA_CERTS by itself.
  return machine === undefined ? undefined : extra === undefined ? [machine] : [machine, extra]
}

function tryRead(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
