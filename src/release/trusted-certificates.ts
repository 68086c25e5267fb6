import { readFileSync } from 'node:fs'
import { rootCertificates } from 'node:tls'
import { shellText } from '../config/shell.js'
import { HoldfastError } from '../errors.js'

/** Where distributions keep the certificates that the machine trusts: Debian, Fedora, openSUSE. */
const bundles = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/ca-bundle.pem']

/**
 * The authorities that the machine trusts, as curl and git take them, so that one that an admin added counts; node's own
 * where the machine has no list. `SSL_CERT_FILE` names another list, and `NODE_EXTRA_CA_CERTS` adds a file of more, as it does for node.
 * @throws HoldfastError `fetch-failed` when `SSL_CERT_FILE` is set and names none
 */
export function trustedCertificates(env: NodeJS.ProcessEnv = process.env, lists: readonly string[] = bundles): string[] {
  const extra = env['NODE_EXTRA_CA_CERTS'] === undefined ? undefined : readCertificates(env['NODE_EXTRA_CA_CERTS'])
  const own = chosenList(env) ?? lists.map(readCertificates).find((text) => text !== undefined)
  return [...(own === undefined ? rootCertificates : [own]), ...(extra === undefined ? [] : [extra])]
}

/** Whoever names a list does not want another to count in its place. */
function chosenList({ SSL_CERT_FILE: file }: NodeJS.ProcessEnv): string | undefined {
  if (file === undefined || file === '') return undefined
  const text = readCertificates(file)
  if (text !== undefined) return text
  throw new HoldfastError('fetch-failed', `SSL_CERT_FILE names ${file}, which cannot be read or holds no certificate`, { hint: `openssl x509 -noout -subject -in ${shellText(file)}` })
}

/** Undefined for a file that is not there, empty or damaged. */
function readCertificates(file: string): string | undefined {
  try {
    const text = readFileSync(file, 'utf8')
    return text.includes('-----BEGIN CERTIFICATE-----') ? text : undefined
  } catch {
    return undefined
  }
}
