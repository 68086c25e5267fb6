import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Health } from '../../../../src/config/model.js'
import { checkHealth, watchHealth, type HealthOrder } from '../../../../src/deploy/checks/health.js'
import type { Member } from '../../../../src/deploy/plan.js'
import { privateSocket } from '../../../../src/release/standby.js'
import { addRelease, makeApp, type AppOnDisk } from '../app-on-disk.js'

const one: Member = { generation: 43, process: 1, unit: 'shop@43.1.service' }
const two: Member = { generation: 43, process: 2, unit: 'shop@43.2.service' }

function order(on: AppOnDisk, health: Partial<Health> = {}, over: Partial<HealthOrder> = {}): HealthOrder {
  return {
    health: { probe: { kind: 'command', command: { text: './check.sh', argv: ['/bin/sh', '-c', './check.sh'] } }, intervalMs: 10, timeoutMs: 5000, successes: 1, deadlineMs: 300, ...health },
    release: addRelease(on, 'r1'), config: on.app.config, instances: [one], signal: new AbortController().signal, tell: () => {}, ...over,
  }
}

/** The file that the unit's output goes to, and those of its environment. */
const valueOf = (args: readonly string[], name: string): string | undefined => args.find((arg) => arg.startsWith(`--property=${name}=`))?.slice(`--property=${name}=`.length)
const say = (args: readonly string[], text: string): void => appendFileSync((valueOf(args, 'StandardOutput') ?? '').replace('file:', ''), text)
const filesOf = (on: AppOnDisk): string[] => (existsSync(on.paths.run) ? readdirSync(on.paths.run) : []).filter((name) => name.includes('health'))

/** As systemd has it in a real template, so that the command has files of variables. */
const template = (on: AppOnDisk): string => `[Service]\nEnvironmentFile=${on.paths.instances}/%i/environment\n`

describe('a command', () => {
  it('runs in a unit of its own for each instance, and knows which one it is about', async () => {
    const on = makeApp()
    on.systemd.cat = async () => template(on)
    mkdirSync(join(on.paths.run, 'private'), { recursive: true })
    writeFileSync(privateSocket(on.paths, one), '')
    const asked: { unit: string; args: readonly string[]; environment: string; place: boolean }[] = []
    on.systemd.onTransient = (unit, args) => {
      asked.push({ unit, args, environment: readFileSync(join(on.paths.run, unit.replace(/^shop-(.*)\.service$/, '$1'), 'environment'), 'utf8'), place: existsSync(join(on.paths.run, '43.1.health')) })
      return {}
    }
    expect(await checkHealth(on.app, order(on, {}, { instances: [one, two] }))).toMatchObject({ ok: true })
    expect(asked.map(({ unit }) => unit).toSorted()).toEqual(['shop-health-43.1.service', 'shop-health-43.2.service'])
    const [first, second] = asked.toSorted((a, b) => a.unit.localeCompare(b.unit))
    for (const [name, value] of Object.entries({ HOLDFAST_APP: 'shop', HOLDFAST_RELEASE: 'r1', HOLDFAST_GENERATION: '43', HOLDFAST_INSTANCE: '43.1', HOLDFAST_PID: '1', HOLDFAST_PRIVATE_SOCKET: `${on.paths.run}/43.1.health` })) {
      expect(first?.environment).toContain(`${name}="${value}"`)
    }
    const unset = valueOf(first?.args ?? [], 'UnsetEnvironment')
    for (const kept of ['HOLDFAST_GENERATION', 'HOLDFAST_INSTANCE', 'HOLDFAST_PRIVATE_SOCKET']) expect(unset?.split(' ')).not.toContain(kept)
    expect(unset).toContain('HOLDFAST_HOLD_FILE')
    expect(valueOf(first?.args ?? [], 'BindPaths')).toBe(`${on.paths.run}/private/43.1.sock:${on.paths.run}/43.1.health`)
    expect(first?.place).toBe(true)
    expect(valueOf(first?.args ?? [], 'WorkingDirectory')).toBe(`${on.paths.releases}/r1`)
    expect(valueOf(first?.args ?? [], 'ReadOnlyPaths')).toBe(`"${on.paths.releases}/r1"`)
    expect(valueOf(first?.args ?? [], 'TimeoutStartSec')).toMatch(/^(5s|300ms|2\d\dms)$/)
    // One that has no private socket is told of none.
    expect(second?.environment).not.toContain('HOLDFAST_PRIVATE_SOCKET')
    expect(valueOf(second?.args ?? [], 'BindPaths')).toBeUndefined()
    expect(filesOf(on)).toEqual([])
    expect(await on.systemd.list('shop-health-*.service')).toEqual([])
  })

  it.each([
    [{ active: 'failed', result: 'exit-code', exit: { how: 'exited' as const, status: 3 } }, 'no database\n    at connect (db.js:1)\n\u001b[31mbye\n', 'exited with status 3, saying "no database / [31mbye"'],
    [{ active: 'failed', result: 'exit-code', exit: { how: 'exited' as const, status: 1 } }, '', 'exited with status 1'],
    [{ active: 'failed', result: 'signal', exit: { how: 'killed' as const, status: 9 } }, '1\n2\n3\n4\n5\n6\n7\n', 'was ended by SIGKILL, saying "3 / 4 / 5 / 6 / 7"'],
    [{ active: 'failed', result: 'timeout', exit: { how: 'killed' as const, status: 15 } }, '', 'took longer than 100ms and was ended'],
    [{ active: 'failed', result: 'oom-kill', exit: { how: 'killed' as const, status: 9 } }, '', 'ran out of memory (limits.memory)'],
  ])('that ends as %j is no good', async (state, said, expected) => {
    const on = makeApp()
    on.systemd.onTransient = (_unit, args) => {
      if (said !== '') say(args, said)
      return state
    }
    const result = await checkHealth(on.app, order(on, { timeoutMs: 100, intervalMs: 1000, deadlineMs: 500 }))
    expect(result).toEqual({ ok: false, unit: one.unit, reason: `failed its health.command (./check.sh), which ${expected}, once in 500ms` })
    expect(filesOf(on)).toEqual([])
  })

  it('that is not there is no good', async () => {
    const on = makeApp()
    const probe = { kind: 'command' as const, command: { text: '["nosuch"]', argv: ['nosuch'] } }
    expect(await checkHealth(on.app, order(on, { probe, deadlineMs: 50 }))).toMatchObject({ ok: false, reason: expect.stringMatching(/^failed its health\.command \(\["nosuch"\]\), which could not be started: nosuch cannot be run: it is in none of /) })
  })

  it('is killed when the signal aborts', async () => {
    const on = makeApp()
    const abort = new AbortController()
    on.systemd.onTransient = async (unit) => {
      abort.abort(new Error('shop@43.1.service exited'))
      // At the first one, there is no process yet.
      while (on.systemd.asked('kill').filter((one) => one === `${unit} SIGKILL`).length < 2) await new Promise((done) => setImmediate(done))
      return { active: 'failed', result: 'signal', exit: { how: 'killed', status: 9 } }
    }
    await expect(checkHealth(on.app, order(on, {}, { signal: abort.signal }))).rejects.toThrow('shop@43.1.service exited')
    expect(filesOf(on)).toEqual([])
    expect(await on.systemd.list('shop-health-*.service')).toEqual([])
  })

  it('that a killed handover has left ends before any other is asked, and no other app’s', async () => {
    const on = makeApp()
    mkdirSync(join(on.paths.run, 'health-41.1'), { recursive: true })
    writeFileSync(join(on.paths.run, '41.1.health'), '')
    writeFileSync(join(on.paths.run, '41.1.hold'), '')
    for (const unit of ['shop-health-41.1.service', 'shop-health-x.service', 'shop-health-41.1@2.1.service']) on.systemd.set(unit, { sub: 'exited' })
    expect(await checkHealth(on.app, order(on))).toMatchObject({ ok: true })
    expect((await on.systemd.list('shop-health-*')).toSorted()).toEqual(['shop-health-41.1@2.1.service', 'shop-health-x.service'])
    expect(readdirSync(on.paths.run)).toEqual(['41.1.hold'])
  })

  it('in a watch may fail twice', async () => {
    const on = makeApp()
    let asked = 0
    on.systemd.onTransient = () => {
      asked += 1
      return [2, 3, 5].includes(asked) || asked >= 7 ? { active: 'failed', result: 'exit-code', exit: { how: 'exited', status: 1 } } : {}
    }
    expect(await watchHealth(on.app, order(on))).toMatchObject({ ok: false, reason: 'failed its health.command (./check.sh), which exited with status 1, 3 times in a row' })
    expect(asked).toBe(9)
  })
})
