import { expect, it } from 'vitest'
import { tryCandidate, watchWhile } from '../../../src/deploy/candidate.js'
import type { Systemd, UnitState } from '../../../src/systemd/systemd.js'
import { unitState } from './unit-state.js'

/** A systemd that goes through these states, one for each question, and stays in the last. */
function scripted(...steps: Partial<UnitState>[]): Systemd {
  let step = 0
  return {
    queueStart: async () => {},
    job: async () => (steps[Math.min(step, steps.length - 1)]?.active === 'inactive' && step < steps.length ? 'start' : undefined),
    show: async (units: readonly string[]) => {
      const state = steps[Math.min(step++, steps.length - 1)]
      return units.map((unit) => unitState({ unit, ...state }))
    },
  } as unknown as Systemd
}
const trial = { units: ['shop@2.1.service'], unitTimeoutMs: 60_000, settleMs: 150, onReady: () => {} }
const starting = { active: 'activating', sub: 'start' }

it('settles when it stays up', async () => {
  expect(await tryCandidate(scripted({ active: 'inactive' }, starting, starting, {}), trial)).toMatchObject({ kind: 'settled' })
})

it.each<[string, Partial<UnitState>[], string]>([
  ['an automatic restart', [starting, { active: 'activating', sub: 'auto-restart', result: 'exit-code', exit: { how: 'exited', status: 3 } }], 'exited with status 3 before'],
  ['an automatic restart that was missed', [starting, { ...starting, restarts: 1 }], 'ended before it was ready'],
  ['one that was missed and is ready again', [starting, { restarts: 1 }], 'ended before it was ready'],
  ['an end while it settles', [starting, {}, { active: 'failed', sub: 'failed', result: 'signal', exit: { how: 'killed', status: 9 } }], 'SIGKILL just after it was ready'],
  ['a stop by somebody else', [starting, {}, { active: 'inactive', sub: 'dead' }], 'was stopped by somebody else'],
  ['a unit that cannot be loaded', [{ active: 'inactive', load: 'bad-setting' }], 'its unit is bad-setting'],
])('fails on %s', async (_, steps, reason) => {
  const verdict = await tryCandidate(scripted(...steps), trial)
  expect(verdict).toMatchObject({ kind: 'failed', reason: expect.stringContaining(reason) })
})

it('fails when its start job is gone and it never was up', async () => {
  const systemd = { ...scripted({ active: 'inactive' }), job: async () => undefined } as Systemd
  expect(await tryCandidate(systemd, trial)).toMatchObject({ kind: 'failed', reason: expect.stringContaining('was not started') })
})

it('keeps to a start timeout that is shorter than the unit’s own', async () => {
  const verdict = await tryCandidate(scripted(starting), { ...trial, startTimeoutMs: 250 })
  expect(verdict).toMatchObject({ kind: 'failed', wasReady: false, reason: 'was not ready within 0.25 s (start.timeout)' })
})

it('tells that one which dies while it is let in was watched by then', async () => {
  const died = { active: 'failed', sub: 'failed', result: 'exit-code', exit: { how: 'exited', status: 1 } } as const
  const failed = await watchWhile(scripted({}, {}, died), trial, () => new Promise(() => {}), { everyMs: 1 })
  expect(failed).toMatchObject({ kind: 'failed', wasReady: true, reason: 'exited with status 1 while it was watched' })
})
