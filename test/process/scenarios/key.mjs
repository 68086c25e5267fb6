// A throw-away key for TLS.
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export function makeKey() {
  const path = join(tmpdir(), `holdfast-key-${process.pid}.pem`)
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost', '-days', '2', '-keyout', path, '-out', path], { stdio: 'ignore' })
  const pem = readFileSync(path)
  rmSync(path)
  return { key: pem, cert: pem }
}
