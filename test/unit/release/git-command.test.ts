import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readReceived, runGit } from '../../../src/release/git-command.js'

test('git is told of proxies and certificates, and of nothing else that the caller has', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-git-'))
  writeFileSync(join(folder, 'git'), '#!/bin/sh\nenv\n', { mode: 0o755 })
  const before = { ...process.env }
  const own = { SSL_CERT_FILE: '/certs', SSL_CERT_DIR: '/dir', https_proxy: 'http://proxy', GIT_SSL_CAINFO: '/ca', GIT_DIR: '/elsewhere', SSL_CERT_OTHER: 'x', SECRET: 'x' }
  Object.assign(process.env, own, { PATH: `${folder}:${before['PATH']}` })
  try {
    const lines = (await runGit(['x'])).stdout.split('\n')
    expect(Object.entries(own).map(([name, value]) => `${name}=${value}`).filter((line) => lines.includes(line))).toEqual(['SSL_CERT_FILE=/certs', 'SSL_CERT_DIR=/dir', 'https_proxy=http://proxy', 'GIT_SSL_CAINFO=/ca'])
  } finally {
    for (const name of Object.keys(own)) delete process.env[name]
    process.env['PATH'] = before['PATH']
    rmSync(folder, { recursive: true })
  }
})

test.each([
  ['Receiving objects:  45% (450/1000), 1.50 MiB | 3.00 MiB/s\rReceiving objects:  46% (460/1000), 2.00 KiB | 3.00 MiB/s\r', 2048],
  ['Receiving objects: 100% (3/3), 230 bytes | 230.00 KiB/s, done.\n', 230],
  ['Receiving objects:  45% (450/1000)\r', undefined],
  ['remote: Counting objects: 100% (3/3), done.\n', undefined],
])('what git has received: %j', (said, bytes) => {
  expect(readReceived(said)).toBe(bytes)
})
