import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { unitOptions } from '../../../src/cli/logs.js'
import { prepareAfterDrain } from '../../../src/deploy/after-drain.js'
import type { InstalledApp } from '../../../src/deploy/app.js'
import { expectDrained, tellDrained } from '../../../src/deploy/drained.js'
import { eventText, notify, notifyEvents, type NotifyEvent } from '../../../src/deploy/notify.js'
import { observeInstances } from '../../../src/deploy/observe.js'
import type { Handover } from '../../../src/deploy/plan.js'
import { readState } from '../../../src/release/state.js'
import { notifyService } from '../../../src/units/names.js'
import { addRelease, bringUp, makeApp, runInstance, type AppOnDisk } from './app-on-disk.js'

const at = '2026-01-01T00:00:00.000Z'
const event = (over: Partial<NotifyEvent> = {}): NotifyEvent => ({ event: 'live', app: 'shop', at, ...over })

/** An app with a notifier, and what systemd was asked to run for it. */
function makeTeller(command = '["/bin/sh", "-c", "tell $HOME 100%"]'): AppOnDisk & { runs: string[][] } {
  const on = makeApp(`[notify]\ncommand = ${command}\ntimeout = "1500ms"\n`)
  const runs: string[][] = []
  on.systemd.onTransient = (_, args) => {
    runs.push([...args])
    return {}
  }
  return { ...on, runs }
}

const settingOf = (args: readonly string[], name: string): string | undefined => args.find((arg) => arg.startsWith(`--property=${name}=`))?.slice(`--property=${name}=`.length)
const inputOf = (args: readonly string[]): Record<string, unknown> => JSON.parse(Buffer.from(settingOf(args, 'StandardInputData') ?? '', 'base64').toString()) as Record<string, unknown>
/** What notify() has begun has come to its end. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('notify', () => {
  it('runs the notifier in a unit of its own, and has it end', () => {
    const { app, runs } = makeTeller()
    notify(app, event())
    expect(runs).toHaveLength(1)
    const args = runs[0] as string[]
    expect(args).toContain('--no-block')
    expect(args).toContain('--collect')
    expect(args.find((arg) => arg.startsWith('--unit='))).toMatch(/^--unit=shop-notify-\d{10}_[0-9a-f]{8}\.service$/)
    expect(settingOf(args, 'RuntimeMaxSec')).toBe('1500ms')
    expect(settingOf(args, 'DynamicUser')).toBe('yes')
    expect(settingOf(args, 'CapabilityBoundingSet')).toBe('')
    expect(settingOf(args, 'EnvironmentFile')).toBe(`-${app.paths.config.replace('.toml', '.notify.env')}`)
    // systemd expands variables of what systemd-run takes as it is.
    expect(args.slice(-4)).toEqual(['holdfast', '/bin/sh', '-c', 'tell $$HOME 100%'])
  })

  it('in a user’s own manager runs it as the user', () => {
    const { app, runs } = makeTeller()
    notify({ ...app, paths: { ...app.paths, scope: 'user' } }, event())
    expect(runs[0]?.filter((arg) => /DynamicUser|Protect|Capability/.test(arg))).toEqual([])
    expect(settingOf(runs[0] as string[], 'RuntimeMaxSec')).toBe('1500ms')
  })

  it('does nothing without [notify]', () => {
    const on = makeApp()
    notify(on.app, event())
    expect(on.systemd.asked('transient')).toEqual([])
  })

  it('hands over every value, and null for what is not known', () => {
    const { app, runs } = makeTeller()
    const previous = { generation: 1, release: 'r1' }
    notify(app, event({ release: 'r2', version: '2.0', generation: 2, previous, kind: 'deploy', by: 'anna@web', reason: 'a "b"\nc é', durationMs: 1234.6, figures: { errors: 0.05 } }))
    expect(inputOf(runs[0] as string[])).toEqual({
      version: 1, event: 'live', app: 'shop', host: hostname(), at, release: 'r2', releaseVersion: '2.0', generation: 2, previous, kind: 'deploy', by: 'anna@web',
      reason: 'a "b"\nc é', durationMs: 1235, figures: { errors: 0.05 },
    })
    notify(app, event())
    expect(inputOf(runs[1] as string[])).toEqual({
      version: 1, event: 'live', app: 'shop', host: hostname(), at, release: null, releaseVersion: null, generation: null, previous: null, kind: null, by: null,
      reason: null, durationMs: null, figures: null,
    })
  })

  it('keeps what it hands over shorter than the longest argument of a program', () => {
    const text = eventText(event({ reason: '"'.repeat(1e6), figures: { x: '"'.repeat(1e6) } }))
    expect(Buffer.from(text).toString('base64').length).toBeLessThan(2 ** 17)
    expect(JSON.parse(text)).toMatchObject({ figures: null, reason: expect.stringMatching(/^"{8192}…$/) as string })
    // The longest of each: what JSON escapes, and what UTF-8 has four bytes for.
    for (const character of ['\u0001', '\u{1f600}']) {
      expect(Buffer.from(eventText(event({ reason: character.repeat(9000), figures: { x: character.repeat(2700) } }))).toString('base64').length).toBeLessThan(2 ** 17)
    }
  })

  it.each([
    ['systemd refuses', (on: AppOnDisk) => { on.systemd.onTransient = () => ({ active: 'failed' }) }, '["/bin/true"]'],
    ['systemd cannot be asked', (on: AppOnDisk) => { on.systemd.runTransient = async () => { throw new Error('EAGAIN') } }, '["/bin/true"]'],
    ['there is no such program', () => {}, '["/nowhere/tell"]'],
    ['the program is relative', () => {}, '["./tell"]'],
  ])('tells the story, and nothing else happens, where %s', async (_, harm, command) => {
    const on = makeTeller(command)
    harm(on)
    expect(() => notify(on.app, event())).not.toThrow()
    await settle()
    expect(on.told.map((one) => one.event)).toEqual(['notify-failed'])
    expect(on.told[0]?.message).toMatch(/^Nobody was told that shop is live: the notifier could not be started: ./)
  })

  it('throws nothing where not even the story can be told', async () => {
    const on = makeTeller('["/nowhere/tell"]')
    const app: InstalledApp = { ...on.app, story: { tell: () => { throw new Error('no journal') } } }
    notify(app, event())
    await settle()
    expect(on.runs).toEqual([])
  })

  it.each(notifyEvents)('has an event for %s', (name) => {
    const { app, runs } = makeTeller()
    notify(app, event({ event: name }))
    expect(inputOf(runs[0] as string[])['event']).toBe(name)
  })
})

describe('the unit of a notifier', () => {
  // As fnmatch(3) has it, for what occurs here.
  const matches = (pattern: string, name: string): boolean => new RegExp(`^${pattern.replace(/[.@]/g, '\\$&').replaceAll('*', '.*')}$`).test(name)
  const patterns = unitOptions({ app: 'shop', units: [] } as unknown as Parameters<typeof unitOptions>[0], 'system').map((option) => option.slice('--unit='.length))
  const isShown = (name: string): boolean => patterns.some((pattern) => matches(pattern, name))

  it('is among what holdfast logs shows', () => {
    expect(isShown(notifyService('shop', '1234567890_0123abcd'))).toBe(true)
  })
  it.each(['shop-notify-drain.service', 'shop-notify-1234567890-deploy.service', notifyService('shop-notify', '1234567890_0123abcd'), notifyService('shop-notify-1', '1234567890_0123abcd')])('is not taken for %s of another app', (name) => {
    expect(isShown(name)).toBe(false)
  })
})

describe('drained', () => {
  /** r1 was live as generation 1; generation 2 has taken its place. */
  async function makeHandover(on: AppOnDisk): Promise<Handover> {
    addRelease(on, 'r1', { version: '1.4.2' })
    addRelease(on, 'r2')
    const state = bringUp(on, 'r1', 1)
    runInstance(on, 'r2', 2)
    const handover = { app: on.app, request: { from: 'record' }, state, choice: { release: { id: 'r2' }, config: on.app.config }, plan: { generation: 2, undo: [], retire: [] }, begin: 0 } as unknown as Handover
    await prepareAfterDrain(handover)
    bringUp(on, 'r2', 2)
    return handover
  }
  const waiting = ({ paths }: AppOnDisk): string[] => (existsSync(join(paths.run, 'drained')) ? readdirSync(join(paths.run, 'drained')) : [])
  const end = (on: AppOnDisk, unit = 'shop@1.1.service'): void => on.systemd.set(unit, { active: 'inactive', sub: 'dead' })

  it('is told once, when the last instance has ended', async () => {
    const on = makeTeller()
    await makeHandover(on)
    runInstance(on, 'r1', 1, 'deactivating')
    on.systemd.set('shop@1.2.service', { active: 'deactivating' })
    await tellDrained(on.app)
    end(on)
    await tellDrained(on.app)
    expect(on.runs).toEqual([])
    end(on, 'shop@1.2.service')
    await Promise.all([tellDrained(on.app), tellDrained(on.app)])
    expect(on.runs.map(inputOf)).toEqual([expect.objectContaining({ event: 'drained', generation: 1, release: 'r1', releaseVersion: '1.4.2', durationMs: expect.any(Number) as number, figures: null })])
    expect(waiting(on)).toEqual([])
  })

  it('is told of each, also beside one that cannot be read', async () => {
    const on = makeTeller()
    await makeHandover(on)
    writeFileSync(join(on.paths.run, 'drained/0'), '') // no generation
    writeFileSync(join(on.paths.run, 'drained/7'), '{"gener')
    end(on)
    await tellDrained(on.app)
    expect(on.runs.map((args) => inputOf(args)['generation'])).toEqual([1])
    expect(waiting(on)).toEqual(['0'])
  })

  it('has each instance start the unit that looks, as it ends', async () => {
    const on = makeTeller()
    await makeHandover(on)
    expect(existsSync(join(on.paths.runtimeUnits, 'shop@1.1.service.d/11-holdfast.conf'))).toBe(true)
    expect(on.systemd.orders).toContain('daemon-reload')
  })

  it('tells what was cut', async () => {
    const on = makeTeller()
    on.systemd.journal = async ({ match }) => {
      expect(match).toEqual({ HOLDFAST_APP: ['shop'], HOLDFAST_GENERATION: ['1'], PHASE: ['drained', 'drain-cut'] })
      return [1, 2].map((process) => ({ at: Date.now() + 1000, fields: { _SYSTEMD_UNIT: `shop@1.${process}.service`, DURATION_MS: '5', REQUESTS_ANSWERED: '7', REQUESTS_CUT: '1', CONNECTIONS_CUT: '2', JOBS_CUT: '3' } }))
    }
    await makeHandover(on)
    end(on)
    await tellDrained(on.app)
    expect(inputOf(on.runs[0] as string[])['figures']).toEqual({ requestsAnswered: 14, requestsAborted: 0, requestsCut: 2, connectionsCut: 4, webSocketsCut: 0, eventStreamsCut: 0, jobsCut: 6 })
  })

  it('is not told of the generation that is live after all', async () => {
    const on = makeTeller()
    await makeHandover(on)
    bringUp(on, 'r1', 1)
    end(on)
    await tellDrained(on.app)
    expect(on.runs).toEqual([])
  })

  it('is not told of one that was never live', async () => {
    const on = makeTeller()
    const handover = await makeHandover(on)
    runInstance(on, 'r0', 7, 'deactivating')
    expectDrained({ ...handover, state: readState(on.paths), plan: { ...handover.plan, generation: 9 } }, await observeInstances(on.systemd, 'shop'))
    expect(waiting(on).toSorted()).toEqual(['1', '2'])
  })

  it('costs nothing without [notify]', async () => {
    const on = makeApp()
    await makeHandover(on)
    expect(waiting(on)).toEqual([])
    expect(on.systemd.orders).not.toContain('daemon-reload')
  })

  it('fails nothing where it cannot be written down', async () => {
    const on = makeTeller()
    mkdirSync(on.paths.run, { recursive: true })
    writeFileSync(join(on.paths.run, 'drained'), '')
    await makeHandover(on)
    end(on)
    await tellDrained(on.app)
    expect(on.runs).toEqual([])
  })
})
