/** A server of archives over https, with a certificate of its own. */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { makeCertificate } from '../traffic/index.js'
import { temporaryFolder } from './archives.js'
import { mustRun, systemctl } from './harness.js'

export interface Downloads {
  /** `https://127.0.0.1:PORT`. */
  url: string
  /** Lets what systemd starts trust its certificate until the test ends, as an administrator with a CA of their own does. */
  trust(): Promise<void>
}

/** Serves until the test ends. */
export async function startDownloads(answer: RequestListener): Promise<Downloads> {
  const pem = makeCertificate()
  const file = join(await temporaryFolder('ca'), 'ca.pem')
  await writeFile(file, pem)
  const server = createServer({ key: pem, cert: pem }, answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async trust() {
      await mustRun('systemctl', ['set-environment', `NODE_EXTRA_CA_CERTS=${file}`])
      onTestFinished(async () => void (await systemctl('unset-environment', 'NODE_EXTRA_CA_CERTS')))
    },
  }
}
