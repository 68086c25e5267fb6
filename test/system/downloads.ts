/** A server of archives over https, with a certificate of its own. */
import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { onTestFinished } from 'vitest'
import { makeCertificate } from '../traffic/index.js'

/** Where Debian keeps them, and so every machine that these tests run on. */
const trusted = '/etc/ssl/certs/ca-certificates.crt'

export interface Downloads {
  /** `https://127.0.0.1:PORT`. */
  url: string
  /** Puts its certificate among those that the machine trusts, until the test ends. */
  trust(): Promise<void>
}

/** Serves until the test ends. */
export async function startDownloads(answer: RequestListener): Promise<Downloads> {
  const pem = makeCertificate()
  const server = createServer({ key: pem, cert: pem }, answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async trust() {
      const before = await readFile(trusted, 'utf8').catch(() => undefined)
      await mkdir(dirname(trusted), { recursive: true })
      await writeFile(trusted, `${before ?? ''}\n${pem}`)
      onTestFinished(() => (before === undefined ? rm(trusted) : writeFile(trusted, before)))
    },
  }
}
