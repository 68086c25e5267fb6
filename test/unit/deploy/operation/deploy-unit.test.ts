import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { EventReader, EventWriter, eventsFile } from '../../../../src/deploy/operation/deploy-events.js'
import { FrameReader, frameStream } from '../../../../src/deploy/operation/deploy-frames.js'
import { isAlive, ownIdentity, whoAsks } from '../../../../src/deploy/operation/deploy-owner.js'
import { deployUnitArgs, fetchEnvironment } from '../../../../src/deploy/operation/deploy-unit.js'
import type { DeployEvent } from '../../../../src/deploy/operation/progress.js'
import { spoolInput } from '../../../../src/release/spool.js'
import { pathsOf, placesOf, type AppPaths } from '../../../../src/release/paths.js'

const folders: string[] = []
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })))
const makeFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
  folders.push(folder)
  return folder
}

describe('the unit of a deploy', () => {
  const args = (scope: 'system' | 'user') => deployUnitArgs(pathsOf(placesOf(scope, { HOME: '/home/anna', XDG_RUNTIME_DIR: '/run/user/7' }), 'shop'), { node: '/usr/bin/node', cli: '/opt/main.js' }, 'ID', { HOME: '/root' })
  it('has the name that is the lock, goes when it ends, and is told the id alone', () => {
    expect(args('system')).toEqual([
      '--quiet', '--collect', '--unit=shop-deploy.service', '--description=Deploy ID of shop', '--property=Type=exec', '--property=SyslogIdentifier=holdfast',
      '--property=KillMode=mixed', '--property=TimeoutStopSec=60', '--property=UMask=0022', '--setenv=HOME=/root',
      '--', '/usr/bin/node', '/opt/main.js', 'deploy-run', 'shop', 'ID',
    ])
    expect(args('user').slice(0, 1)).toEqual(['--user'])
    expect(args('user').slice(-5)).toEqual(['/opt/main.js', '--user', 'deploy-run', 'shop', 'ID'])
  })
  it('takes of the environment what fetching needs', () => {
    expect(fetchEnvironment({ https_proxy: 'a', NO_PROXY: 'b', SSH_AUTH_SOCK: 'c', GIT_SSH_COMMAND: 'd', PATH: 'x', SECRET: 'y', MY_HTTP_PROXY: 'z' })).toEqual({ https_proxy: 'a', NO_PROXY: 'b', SSH_AUTH_SOCK: 'c', GIT_SSH_COMMAND: 'd' })
  })
})

describe('who deploys', () => {
  it('is the account before sudo, with the address that it came from', () => {
    expect(whoAsks({ SUDO_USER: 'anna', LOGNAME: 'root' }, 'root', '192.0.2.7')).toBe('anna@192.0.2.7')
    expect(whoAsks({ LOGNAME: 'ben' }, 'root', undefined)).toBe('ben')
    expect(whoAsks({}, 'root', 'fe80::1%eth0')).toBe('root@fe80::1%eth0')
    expect(whoAsks({ SUDO_USER: '\u001b[31m x' }, 'root', undefined)).toBe('31mx')
  })
  it('is alive as long as the very process is', () => {
    const own = ownIdentity()
    expect(isAlive(own)).toBe(true)
    expect(isAlive({ ...own, start: `${own.start}0` })).toBe(false)
    expect(isAlive({ ...own, boot: 'another' })).toBe(false)
    expect(isAlive({ ...own, pid: 4_194_304 })).toBe(false)
  })
})

describe('events', () => {
  const paths = (): AppPaths => ({ ...pathsOf(placesOf('system'), 'shop'), run: join(makeFolder(), 'holdfast', 'shop') })
  const note = (text: string): DeployEvent => ({ type: 'note', text })

  it('are read as they come, whole lines alone, by root alone', () => {
    const own = paths()
    const file = eventsFile(own, 'a')
    const [writer, reader] = [new EventWriter(file), new EventReader(file)]
    expect(reader.read()).toEqual([])
    writer.open(own)
    writer.write(note('é'))
    appendFileSync(file, '{"type":"note","te')
    expect(reader.read()).toEqual([note('é')])
    appendFileSync(file, 'xt":"b"}\nnot JSON\n')
    expect(reader.read()).toEqual([note('b')])
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it('are cut where a hook prints without end, but not the last', () => {
    const own = paths()
    const writer = new EventWriter(eventsFile(own, 'a'))
    writer.open(own)
    const line = 'x'.repeat(2 ** 20)
    for (let i = 0; i < 12; i += 1) writer.write({ type: 'output', step: 'install', line })
    writer.write(note('end'))
    expect(readFileSync(eventsFile(own, 'a')).length).toBeLessThan(9 * 2 ** 20)
    const events = new EventReader(eventsFile(own, 'a')).read()
    expect(events.slice(-2).map((event) => (event as { text: string }).text)).toEqual(['There is more output than is shown here; the journal has it.', 'end'])
  })
})

describe('archives on their way', () => {
  const framed = async (...archives: string[]): Promise<Buffer> => {
    const parts: Buffer[] = []
    for (const archive of archives) for await (const part of Readable.from([Buffer.from(archive)]).pipe(frameStream())) parts.push(part as Buffer)
    return Buffer.concat(parts)
  }
  const read = async (bytes: Buffer, size: number): Promise<string[]> => {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
    const reader = new FrameReader(chunks.values()[Symbol.iterator]() as unknown as AsyncIterator<Buffer>)
    const all: string[] = []
    for (let i = 0; i < 2; i += 1) {
      let text = ''
      for await (const part of reader.archive()) text += part.toString()
      all.push(text)
    }
    return all
  }
  it.each([1, 3, 7, 1000])('come apart again, in pieces of %i bytes', async (size) => {
    expect(await read(await framed('one', 'the other'), size)).toEqual(['one', 'the other'])
  })
  it('are refused when they are cut anywhere', async () => {
    const bytes = await framed('one', 'the other')
    for (let length = 0; length < bytes.length; length += 1) await expect(read(bytes.subarray(0, length), 5)).rejects.toThrow('nothing was begun')
  })
  it('are spooled up to a limit, and nothing at all is an error', async () => {
    const file = join(makeFolder(), 'archive')
    expect(await spoolInput(Readable.from([Buffer.from('abc'), Buffer.from('d')]), file, 4)).toMatchObject({ bytes: 4 })
    expect(readFileSync(file, 'utf8')).toBe('abcd')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    await expect(spoolInput(Readable.from([Buffer.from('abcde')]), `${file}2`, 4)).rejects.toMatchObject({ code: 'fetch-failed', message: 'standard input is larger than 4, the most that is taken' })
    await expect(spoolInput(Readable.from([]), `${file}3`, 4)).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('standard input was empty') })
    // What is left is what was taken.
    expect(readdirSync(dirname(file))).toEqual(['archive'])
  })
  it('are on the disk once they are spooled, or the system’s refusal is told', async () => {
    const file = join(makeFolder(), 'archive')
    const handle = await open(makeFolder(), 'r')
    await handle.close()
    const sync = vi.spyOn(Object.getPrototypeOf(handle) as FileHandle, 'sync').mockRejectedValue(Object.assign(new Error('x'), { code: 'ENOSPC', syscall: 'fsync' }))
    await expect(spoolInput(Readable.from([Buffer.from('a')]), file, 4)).rejects.toMatchObject({ code: 'system-refused', message: 'fsync: the disk is full' })
    sync.mockRestore()
    expect(readdirSync(dirname(file))).toEqual([])
    await expect(spoolInput(Readable.from([Buffer.from('a')]), join(file, 'none'), 4)).rejects.toMatchObject({ code: 'system-refused' })
  })
})
