import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Admission } from '../../../../src/config/model.js'
import { requireAdmission, requireAdmissionAhead } from '../../../../src/deploy/checks/admission.js'
import { judgeAdmission, type AdmissionFacts } from '../../../../src/deploy/checks/admission-judge.js'
import { availableMemory, memoryOf, type MemoryTables } from '../../../../src/deploy/checks/admission-memory.js'
import { planDeploy } from '../../../../src/deploy/operation/deploy-plan.js'
import { makeStaging } from '../../../../src/deploy/operation/deploy-request.js'
import { observeInstances } from '../../../../src/deploy/observe.js'
import { holdBack, letIn } from '../../../../src/release/standby.js'
import { admitRollback } from '../../../../src/deploy/operation/rollback.js'
import { appendHistory } from '../../../../src/release/history.js'
import { readState } from '../../../../src/release/state.js'
import { addRelease, bringUp, deployOf, makeApp, rollbackTo, run, runInstance, serveOrders, type AppOnDisk } from '../app-on-disk.js'
import { stepsOf } from '../operation-shop.js'
import { historyOf } from '../releases.js'

const MiB = 2 ** 20
const hour = 3_600_000

describe('the judgement', () => {
  const admission = (over: Partial<Admission> = {}): Admission => ({ memory: true, reserveBytes: 64 * MiB, maxDraining: 3, ...over })
  const facts = (over: Partial<AdmissionFacts> = {}): AdmissionFacts => ({
    generation: 44, starting: 4, limitBytes: undefined, draining: [],
    memory: { generation: 43, largestBytes: 103 * MiB, availableBytes: 476 * MiB, where: 'on this machine' }, ...over,
  })
  const memory = (availableBytes: number): Partial<AdmissionFacts> => ({ memory: { generation: 43, largestBytes: 103 * MiB, availableBytes, where: 'on this machine' } })
  const drain = (...ages: number[]): Partial<AdmissionFacts> => ({ draining: ages.map((ageMs, i) => ({ generation: 41 + i, ageMs })) })

  it.each<[string, Partial<AdmissionFacts>, Partial<Admission>, string | undefined]>([
    ['enough memory to the last byte', {}, {}, undefined],
    ['a byte less', memory(476 * MiB - 1), {}, 'shop needs about 412.0M more for generation 44 (4 processes, each as much as the largest of generation 43: 103.0M), and 476.0M are available on this machine; [admission] reserve keeps 64.0M of them'],
    ['one process of a rolling handover', { ...memory(150 * MiB), starting: 1 }, {}, 'shop needs about 103.0M more for generation 44 (1 process as much as the largest of generation 43: 103.0M), and 150.0M are available on this machine; [admission] reserve keeps 64.0M of them'],
    ['and that has room', { ...memory(167 * MiB), starting: 1 }, {}, undefined],
    ['a limit of the instances caps it', { ...memory(300 * MiB), limitBytes: 50 * MiB }, {}, undefined],
    ['and may still be too much', { ...memory(200 * MiB), limitBytes: 50 * MiB }, {}, expect.stringContaining('about 200.0M more for generation 44 (4 processes, each at limits.memory, 50.0M)') as string],
    ['memory that is not looked at', memory(0), { memory: false }, undefined],
    ['nothing that could be measured', { memory: undefined }, {}, undefined],
    ['as many drains as may be, less one', drain(hour, hour), {}, undefined],
    ['as many as may be', drain(60_000, 130 * 60_000, 0), {}, '3 generations drain (41, 42, 43), the oldest for 2 h 10 min; [admission] max_draining is 3'],
    ['one, where none may be more', drain(5_000), { maxDraining: 1 }, 'generation 41 has been draining for 5 s; [admission] max_draining is 1'],
    ['a drain of any age', drain(1000 * hour), {}, undefined],
    ['one that is not too old', drain(hour), { maxDrainAgeMs: hour }, undefined],
    ['one that is', drain(hour + 1, 5), { maxDrainAgeMs: hour }, '2 generations drain (41, 42), the oldest for 1 h; [admission] max_drain_age is 1 h'],
  ])('of %s', (_, change, keys, reason) => {
    expect(judgeAdmission('shop', facts(change), admission(keys))?.reason).toEqual(reason)
  })
})

/** A machine's tables of memory; values in kB as proc(5) has them, control groups in bytes. */
function makeTables(files: Record<string, string>): MemoryTables {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-memory-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return { proc: join(folder, 'proc'), cgroup: join(folder, 'cgroup') }
}

const status = (anon: number, file = 0, shmem = 0, swap = 0): string => `Name:\tnode\nVmRSS:\t${anon + file + shmem} kB\nRssAnon:\t${anon} kB\nRssFile:\t${file} kB\nRssShmem:\t${shmem} kB\nVmSwap:\t${swap} kB\n`

describe('the measure', () => {
  it('of a unit is what its processes have for themselves, also swapped out, not the files they share', () => {
    const tables = makeTables({ 'proc/7/status': status(1000, 5000, 10, 200), 'proc/8/status': status(30), 'cgroup/system.slice/x/cgroup.procs': '7\n8\n9\n' })
    expect(memoryOf({ mainPid: 7 }, '/system.slice/x', tables)).toBe(1240 * 1024)
    expect(memoryOf({ mainPid: 8 }, '', tables)).toBe(30 * 1024)
    expect(memoryOf({ mainPid: 9 }, '', tables)).toBeUndefined()
    expect(memoryOf({ mainPid: 0 }, '', tables)).toBeUndefined()
  })

  it('of what is available is the machine’s, or the tightest limit above', () => {
    const meminfo = { 'proc/meminfo': 'MemTotal:  4000 kB\nMemFree:  10 kB\nMemAvailable:  3000 kB\n' }
    const group = (limit: string, current: number, kept = 0): Record<string, string> => ({
      'cgroup/a.slice/memory.max': 'max\n', 'cgroup/a.slice/memory.high': limit, 'cgroup/a.slice/memory.current': String(current),
      'cgroup/a.slice/memory.stat': `anon 5\ninactive_file ${kept}\nactive_file 0\nfile 99999999\n`,
    })
    const ask = (files: Record<string, string>): unknown => availableMemory('/a.slice/b.slice/x.service', makeTables({ ...meminfo, ...files }))
    expect(ask({})).toEqual({ bytes: 3000 * 1024, where: 'on this machine' })
    expect(ask(group('max', 1))).toEqual({ bytes: 3000 * 1024, where: 'on this machine' })
    expect(ask(group('1000000', 300_000, 100_000))).toEqual({ bytes: 800_000, where: 'within the limit of /a.slice' })
    expect(ask(group('1000000', 2_000_000))).toEqual({ bytes: 0, where: 'within the limit of /a.slice' })
    expect(ask({ 'cgroup/memory.max': '5000', 'cgroup/memory.current': '1000' })).toEqual({ bytes: 4000, where: 'within the limit of this container' })
    expect(availableMemory('', makeTables({}))).toBeUndefined()
  })
})

describe('a handover', () => {
  /** Generation 3 serves with 100 MiB, and so much is available. */
  function machine(availableMiB: number, tables = '') {
    const on = makeApp(tables)
    const proc = makeTables({ 'proc/meminfo': `MemAvailable:  ${availableMiB * 1024} kB\n`, 'proc/100/status': status(100 * 1024) }).proc
    runInstance(on, 'r3', 3)
    const admit = async (over: Partial<Parameters<typeof requireAdmission>[1]> = {}): Promise<void> =>
      requireAdmission({ ...on.app, proc }, { generation: 4, starting: 1, live: 3, instances: await observeInstances(on.systemd, 'shop'), ...over }, '/nowhere')
    return { on, admit }
  }

  it('is refused with the figures and the ways out, and admitted with more room', async () => {
    await expect(machine(163).admit()).rejects.toMatchObject({
      code: 'not-admitted',
      message: 'shop needs about 100.0M more for generation 4 (1 process as much as the largest of generation 3: 100.0M), and 163.0M are available on this machine; [admission] reserve keeps 64.0M of them',
      hint: expect.stringMatching(/^make room; or holdfast deploy shop … --no-admission; or change reserve, or memory = false, in \[admission\] of .*shop\.toml, then: holdfast install .*shop\.toml$/) as string,
    })
    await machine(164).admit()
    await expect(machine(164).admit({ starting: 2 })).rejects.toMatchObject({ code: 'not-admitted' })
    await machine(1, '[admission]\nmemory = false').admit({ starting: 2 })
  })

  it('counts generations that drain, and not those of which a process still serves', async () => {
    const { on, admit } = machine(9999, '[admission]\nmax_draining = 2')
    runInstance(on, 'r1', 1, 'deactivating')
    on.systemd.set('shop@1.2.service', { active: 'deactivating' })
    on.systemd.set('shop@3.2.service', { active: 'deactivating' })
    await admit()
    runInstance(on, 'r2', 2, 'deactivating')
    await expect(admit()).rejects.toMatchObject({ message: '2 generations drain (1, 2), the oldest for 0 s; [admission] max_draining is 2', hint: expect.stringMatching(/^wait for them \(holdfast status shop\); .* change max_draining in/) as string })
    on.systemd.properties = async (units, names) => units.map((unit) => Object.fromEntries(names.map((name) => [name, name === 'ActiveExitTimestamp' && unit.includes('@1.2') ? `@${Math.floor(Date.now() / 1000) - 7200}` : ''])) as Record<(typeof names)[number], string>)
    await expect(admit()).rejects.toThrow('the oldest for 2 h;')
  })

  it('names the command that was run, to run it all the same', async () => {
    const hintOf = (over: Parameters<ReturnType<typeof machine>['admit']>[0]): Promise<string> => machine(1).admit(over).catch((error: { hint: string }) => error.hint) as Promise<string>
    expect(await hintOf({ kind: 'deploy' })).toContain('; or holdfast deploy shop … --no-admission; or change')
    expect(await hintOf({ kind: 'rollback' })).toContain('; or holdfast rollback shop … --no-admission; or change')
    expect(await hintOf({ kind: 'restart' })).toContain('; or holdfast deploy shop … --no-admission; or change')
    expect(await hintOf({ kind: 'rollback', again: 'holdfast rollback shop r2 --force' })).toContain('; or holdfast rollback shop r2 --force --no-admission; or change')
  })

  it('is never refused where nothing serves', async () => {
    const { on, admit } = machine(1, '[admission]\nmax_draining = 1')
    runInstance(on, 'r2', 2, 'deactivating')
    on.systemd.set('shop@3.1.service', { active: 'failed' })
    await admit()
    // What is held serves nobody.
    runInstance(on, 'r2', 5)
    holdBack(on.paths, [{ generation: 5, process: 1 }])
    await admit()
    letIn(on.paths, [{ generation: 5, process: 1 }])
    await expect(admit()).rejects.toMatchObject({ code: 'not-admitted' })
  })
})

describe('ahead of the handover', () => {
  /** r2 is live as generation 3 and r1 was before; one generation drains, which is as many as may. */
  function makeFull(): AppOnDisk & { source: string } {
    const on = makeApp('[admission]\nmax_draining = 1\n[hooks]\ninstall = "true"\nmigrate = "true"\n')
    for (const [day, id] of ['r1', 'r2'].entries()) addRelease(on, id, { createdAt: `2026-01-0${day + 1}T00:00:00.000Z` })
    for (const entry of historyOf('deploy r1', 'deploy r2')) appendHistory(on.paths, entry)
    runInstance(on, 'r1', 2, 'deactivating')
    bringUp(on, 'r2', 3)
    serveOrders(on)
    const source = join(on.folder, 'source')
    mkdirSync(source)
    writeFileSync(join(source, 'server.js'), 'serve()')
    return { ...on, source }
  }
  const figures = /^generation 2 has been draining for .*; \[admission\] max_draining is 1/

  it('a deploy is refused before a hook has run, and says once what serves', async () => {
    const on = makeFull()
    const { status, events, end } = await run(on, deployOf(on.source, { again: 'holdfast deploy shop /srv/new' }))
    expect([status, end?.failure?.step]).toEqual([1, 'verify'])
    expect(end?.failure?.message).toMatch(/max_draining is 1\. Generation 3, release r2, serves on\.$/)
    expect(end?.failure?.hint).toMatch(/^wait for them \(holdfast status shop\); or holdfast deploy shop \/srv\/new --no-admission; or change max_draining/)
    expect(stepsOf(events)).toEqual(['fetch done', 'unpack done', 'verify failed'])
    expect(on.systemd.asked('transient')).toEqual([])
    expect(readState(on.paths)).toMatchObject({ generation: 3, wanted: 'r2' })
  })

  it('a deploy goes on where it is told to, or has nothing to hand over', async () => {
    for (const over of [{ skipAdmission: true }, { switches: { install: true, migrate: true, migrateOnly: true } }]) {
      const on = makeFull()
      expect(await run(on, deployOf(on.source, over))).toMatchObject({ status: 0 })
    }
  })

  it('a rollback is refused at its plan, in both of its places', async () => {
    const on = makeFull()
    const asked = { again: 'holdfast rollback shop' }
    await expect(admitRollback(on.app, readState(on.paths), { target: addRelease(on, 'r1') }, asked)).rejects.toMatchObject({
      code: 'not-admitted', message: expect.stringMatching(figures) as string, hint: expect.stringContaining('; or holdfast rollback shop --no-admission;') as string,
    })
    await admitRollback(on.app, readState(on.paths), { target: addRelease(on, 'r1') }, { ...asked, skipAdmission: true })
    const { status, events, end } = await run(on, { ...rollbackTo('r1'), ...asked })
    expect([status, end?.failure?.message, end?.failure?.hint]).toEqual([1, expect.stringMatching(figures), expect.stringContaining('; or holdfast rollback shop --no-admission;')])
    expect(stepsOf(events)).toEqual([])
    expect(await run(on, { ...rollbackTo('r1'), skipAdmission: true })).toMatchObject({ status: 0, end: { release: 'r1' } })
  })

  it('the dry run of a deploy is refused as the deploy would be', async () => {
    const on = makeFull()
    const plan = async (over: Parameters<typeof deployOf>[1] = {}): Promise<unknown> => {
      const request = deployOf(on.source, over)
      makeStaging(on.paths, request)
      return planDeploy(on.app, request, () => {}, new AbortController().signal)
    }
    await expect(plan()).rejects.toMatchObject({ code: 'not-admitted', message: expect.stringMatching(figures) as string })
    expect(await plan({ skipAdmission: true })).toMatchObject({ live: { release: 'r2' } })
  })

  it('counts the processes that the handover will start beside the older ones', async () => {
    const on = makeApp()
    const proc = makeTables({ 'proc/meminfo': `MemAvailable:  ${200 * 1024} kB\n`, 'proc/100/status': status(100 * 1024) }).proc
    const state = bringUp(on, 'r3', 3)
    const admit = async (strategy: 'all' | 'rolling', asked: object = {}): Promise<void> =>
      requireAdmissionAhead({ ...on.app, proc }, { config: { ...on.app.config, processes: 4, strategy }, state, asked: { again: 'holdfast deploy shop', ...asked } }, '/nowhere')
    await expect(admit('all')).rejects.toThrow('needs about 400.0M more for generation 4 (4 processes')
    await admit('rolling')
    await expect(admit('rolling', { hold: {} })).rejects.toThrow('(4 processes')
    await expect(admit('rolling', { canary: { processes: 2, auto: false } })).rejects.toThrow('(2 processes')
    await admit('all', { skipAdmission: true })
  })
})
