/** The flags of the listening socket, which every generation shares: whoever is started changes them for all. */
import { existsSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { makeInstalledApp, said } from './deploys.js'
import { expectSuccess, show } from './harness.js'

/** O_NONBLOCK of open(2). */
const nonBlocking = 0o4000

/** Of the sockets that systemd has handed to a process. */
function flagsOf(pid: string): number[] {
  return [3, 4, 5].map((fd) => `/proc/${pid}/fdinfo/${fd}`).filter((file) => existsSync(file)).map((file) => Number.parseInt(/^flags:\s+(\d+)$/m.exec(readFileSync(file, 'utf8'))?.[1] ?? '0', 8) & nonBlocking)
}

it('never blocks who serves: neither by one that dies before it listens, nor by one that is held', async () => {
  const app = await makeInstalledApp('flags')
  expectSuccess(await app.deploy(await app.tree('1')))
  const { MainPID = '' } = await show(`${app.name}@1.1.service`, 'MainPID')
  expect(flagsOf(MainPID)).toEqual([nonBlocking, nonBlocking, nonBlocking])
  // Two processes that wait on one socket are both woken by a connection: where accept(2) blocks, the slower one hangs in it.
  const bad = await app.deploy(await app.tree('2', { before: "throw new Error('no database')" }))
  expect(said(bad)).toContain('no database')
  expect(flagsOf(MainPID)).toEqual([nonBlocking, nonBlocking, nonBlocking])
  expectSuccess(await app.deploy([await app.tree('3'), '--hold']))
  expect(flagsOf(MainPID)).toEqual([nonBlocking, nonBlocking, nonBlocking])
})
