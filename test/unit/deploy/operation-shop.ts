import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { DeployEvent } from '../../../src/deploy/operation/progress.js'
import { readOrder } from '../../../src/deploy/request.js'
import { readState } from '../../../src/release/state.js'
import { readWanted } from '../../../src/release/wanted.js'
import { addRelease, bringUp, makeApp, serveOrders, type AppOnDisk } from './app-on-disk.js'

/** r1 is live as generation 3; a source folder lies beside. */
export function makeShop(): AppOnDisk & { source: string } {
  const on = makeApp('[hooks]\ninstall = "true"\nmigrate = "true"\n')
  addRelease(on, 'r1')
  bringUp(on, 'r1', 3)
  serveOrders(on)
  const source = join(on.folder, 'source')
  mkdirSync(source)
  writeFileSync(join(source, 'server.js'), 'serve()')
  return { ...on, source }
}

/** What every failure leaves: the live release live and wanted, and nothing of the deploy. */
export function expectUntouched({ paths, systemd }: AppOnDisk): void {
  expect(readState(paths)).toMatchObject({ wanted: 'r1', live: { generation: 3, release: 'r1' } })
  expect(readWanted(paths)).toBe('r1')
  expect(systemd.active('shop@3.1.service')).toBe('active')
  expectCleanedUp({ paths })
}

export function expectCleanedUp({ paths }: Pick<AppOnDisk, 'paths'>): void {
  expect(readdirSync(join(paths.state, 'staging'))).toEqual([])
  expect(existsSync(join(paths.state, 'deploy.json'))).toBe(false)
  expect(readOrder(paths)).toBeUndefined()
}

/** The steps that ended, each with how. */
export const stepsOf = (events: DeployEvent[]): string[] => events.flatMap((event) => (event.type === 'step' && event.state !== 'began' ? [`${event.step} ${event.state}`] : []))
