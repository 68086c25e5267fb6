import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { boundShutdown } from '../../../src/deploy/shutdown.js'
import { pathsOf, placesOf, type AppPaths } from '../../../src/release/paths.js'
import { stopFile } from '../../../src/release/stop-reason.js'
import type { Systemd } from '../../../src/systemd/systemd.js'
import { unitState } from './unit-state.js'

let folder: string
let paths: AppPaths
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shutdown-'))
  paths = pathsOf({ ...placesOf('system'), state: join(folder, 'state'), run: join(folder, 'run') }, 'shop')
})
afterEach(() => rmSync(folder, { recursive: true }))

const file = (generation: number): string => stopFile(paths, { generation, process: 1 })
const read = (generation: number): string => readFileSync(file(generation), 'utf8')

/** Runs it on a systemd whose instances are in these states, one round after the other. */
async function bound(state: string, rounds: Record<string, string>[], between: (round: number) => void = () => {}): Promise<string[]> {
  let round = -1
  const told: string[] = []
  const systemd = {
    systemState: () => Promise.resolve(state),
    list: () => {
      if (round >= 0) between(round)
      round += 1
      return Promise.resolve(Object.keys(rounds[round] as Record<string, string>))
    },
    show: (units: string[]) => Promise.resolve(units.map((unit) => unitState({ unit, active: rounds[round]?.[unit] as string }))),
  } as unknown as Systemd
  await boundShutdown({ paths, units: [], systemd, story: { tell: (event, message) => told.push(`${event}: ${message}`) } })
  return told
}

it('tells each instance that has not ended, and tells it again where another word was written since', async () => {
  const told = await bound(
    'stopping',
    [
      { 'shop@1.1.service': 'deactivating', 'shop@2.1.service': 'active', 'shop@3.1.service': 'failed' },
      { 'shop@1.1.service': 'deactivating', 'shop@2.1.service': 'deactivating' },
      { 'shop@1.1.service': 'inactive', 'shop@2.1.service': 'deactivating' },
      {},
    ],
    (round) => {
      expect(read(2)).toBe('shutdown\n')
      if (round < 2) expect(read(1)).toBe('shutdown\n')
      // As a drain or a handover may that is being stopped itself.
      if (round === 0) for (const generation of [1, 2]) writeFileSync(file(generation), 'deploy\n')
      expect(() => read(3)).toThrow('ENOENT')
    },
  )
  expect(told).toEqual(['shutdown-began: The machine shuts down: what runs of shop has 90 s to finish.'])
})

it('does nothing where nothing runs, or nothing shuts down', async () => {
  expect(await bound('stopping', [{ 'shop@3.1.service': 'failed' }])).toEqual([])
  expect(await bound('running', [])).toEqual([])
  expect(() => read(3)).toThrow('ENOENT')
})
