// A TLS server with a throw-away key.
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import https from 'node:https'

const path = join(tmpdir(), `holdfast-key-${process.pid}.pem`)
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost', '-days', '2', '-keyout', path, '-out', path], { stdio: 'ignore' })
const pem = readFileSync(path)
rmSync(path)
https.createServer({ key: pem, cert: pem }, (_, response) => response.end('hello')).listen(3000)
