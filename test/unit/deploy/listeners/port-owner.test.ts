import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseAddress } from '../../../../src/config/address.js'
import type { Address } from '../../../../src/config/model.js'
import { findHolders, isInUse } from '../../../../src/deploy/listeners/port-owner.js'

const addressOf = (written: string | number): Address => parseAddress(written).address as Address

describe('a table of sockets', () => {
  let proc: string

  beforeAll(() => {
    proc = mkdtempSync(join(tmpdir(), 'proc-'))
    mkdirSync(join(proc, 'net'))
    const tcp = (local: string, state: string, inode: number): string => `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0 0 10 0`
    writeFileSync(join(proc, 'net/tcp'), ['  sl  local_address …', tcp('0100007F:1F90', '0A', 11), tcp('00000000:0050', '0A', 12), tcp('0100007F:1F91', '01', 13), ''].join('\n'))
    writeFileSync(join(proc, 'net/tcp6'), [
      '  sl  local_address …', tcp('00000000000000000000000000000000:1F92', '0A', 21), tcp('00000000000000000000000001000000:1F93', '0A', 22), tcp('B80D0120000000000000000001000000:1F94', '0A', 23), '',
    ].join('\n'))
    const unix = (flags: string, inode: number, path: string): string => `ffff8880: 00000002 00000000 ${flags} 0001 01 ${inode}${path === '' ? '' : ` ${path}`}`
    writeFileSync(join(proc, 'net/unix'), ['Num       RefCount …', unix('00010000', 31, '/run/a b.sock'), unix('00000000', 32, '/run/client.sock'), unix('00010000', 33, ''), unix('00010000', 34, '@abstract'), ''].join('\n'))
    const process = (pid: string, words: string[], cgroup: string, inodes: number[]): void => {
      mkdirSync(join(proc, pid, 'fd'), { recursive: true })
      writeFileSync(join(proc, pid, 'cmdline'), words.map((word) => `${word}\0`).join(''))
      writeFileSync(join(proc, pid, 'comm'), `${words[0]}\n`)
      writeFileSync(join(proc, pid, 'cgroup'), `0::${cgroup}\n`)
      for (const [i, inode] of inodes.entries()) symlinkSync(`socket:[${inode}]`, join(proc, pid, 'fd', String(i)))
    }
    process('1', ['/sbin/init'], '/init.scope', [12, 31])
    process('77', ['nginx:', 'master', 'x'.repeat(200)], '/system.slice/nginx.service', [11, 12])
    process('88', ['node'], '/user.slice/user-1000.slice/session-3.scope', [21])
  })
  afterAll(() => rmSync(proc, { recursive: true }))

  it.each([
    ['127.0.0.1:8080', [['127.0.0.1:8080', ['77']]]],
    ['127.0.0.2:8080', []],
    ['0.0.0.0:8080', [['127.0.0.1:8080', ['77']]]],
    [8080, [['127.0.0.1:8080', ['77']]]],
    ['127.0.0.1:80', [['0.0.0.0:80', ['1', '77']]]],
    ['[::1]:80', []],
    ['127.0.0.1:8081', []],
    ['127.0.0.1:8082', [['[::]:8082', ['88']]]],
    ['[::1]:8083', [['[::1]:8083', []]]],
    ['127.0.0.1:8083', []],
    ['[2001:db8::1]:8084', [['[2001:db8::1]:8084', []]]],
    ['/run/a b.sock', [['/run/a b.sock', ['1']]]],
    ['/run/client.sock', []],
    ['/run/other.sock', []],
  ])('tells who is in the way of %s', (written, expected) => {
    const show = (address: Address): string => (address.kind === 'unix' ? address.path : `${address.host?.includes(':') ? `[${address.host}]` : address.host}:${address.port}`)
    expect(findHolders(addressOf(written), proc).map(({ address, owners }) => [show(address), owners.map(({ pid }) => String(pid))])).toEqual(expected)
  })

  it('names a process, shortened, and its unit', () => {
    const [holder] = findHolders(addressOf('127.0.0.1:8080'), proc)
    expect(holder?.owners).toEqual([{ pid: 77, unit: 'nginx.service', command: expect.stringMatching(/^nginx: master x{50,70}$/) }])
    expect(findHolders(addressOf(8082), proc)[0]?.owners[0]?.unit).toBe('session-3.scope')
  })

  it('finds nobody where the kernel shows nothing', () => {
    expect(findHolders(addressOf(80), join(proc, 'nowhere'))).toEqual([])
  })
})

it('tries an address, as only that tells whether it is free', async () => {
  const server: Server = await new Promise((resolve) => {
    const made = createServer().listen(0, '127.0.0.1', () => resolve(made))
  })
  const { port } = server.address() as { port: number }
  expect(await isInUse({ kind: 'tcp', host: '127.0.0.1', port })).toBe(true)
  expect(await isInUse({ kind: 'tcp', port })).toBe(true)
  expect(await isInUse({ kind: 'tcp', host: '127.0.0.2', port })).toBe(false)
  expect(findHolders({ kind: 'tcp', host: '127.0.0.1', port }).flatMap(({ owners }) => owners.map(({ pid }) => pid))).toContain(process.pid)
  await new Promise((resolve) => server.close(resolve))
  expect(await isInUse({ kind: 'tcp', host: '127.0.0.1', port })).toBe(false)
})
