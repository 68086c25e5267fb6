import { expect, it } from 'vitest'
import { describeFailure } from '../../../src/deploy/failure.js'
import { unitState } from './unit-state.js'

const exited = (status: number) => ({ how: 'exited' as const, status })

it.each([
  [{ result: 'exit-code', exit: exited(1) }, false, 'exited with status 1 before it was ready'],
  [{ result: 'exit-code', exit: exited(1) }, true, 'exited with status 1 just after it was ready'],
  [{ result: 'protocol', exit: exited(0) }, false, 'exited with status 0 before it was ready'],
  [{ result: 'success', exit: exited(0) }, true, 'exited with status 0 just after it was ready'],
  [{ result: 'signal', exit: { how: 'killed' as const, status: 9 } }, false, 'was ended by SIGKILL before it was ready'],
  [{ result: 'core-dump', exit: { how: 'dumped' as const, status: 11 } }, true, 'was ended by SIGSEGV just after it was ready and dumped core'],
  [{ result: 'timeout', exit: { how: 'killed' as const, status: 15 } }, false, 'was not ready within 60 s (start.timeout)'],
  [{ result: 'watchdog', exit: { how: 'dumped' as const, status: 6 } }, true, 'stopped answering the watchdog just after it was ready'],
  [{ result: 'oom-kill', exit: { how: 'killed' as const, status: 9 } }, false, 'ran out of memory before it was ready (limits.memory)'],
  [{ result: 'exit-code', exit: exited(203) }, false, 'did not start: its program could not be run (203/EXEC)'],
  [{ result: 'exit-code', exit: exited(200) }, false, 'did not start: its working directory could not be entered (200/CHDIR)'],
  // Seen between two automatic restarts: the result is that of the new attempt.
  [{ result: 'success', exit: undefined, restarts: 1 }, false, 'ended before it was ready'],
])('%j, ready: %j', (state, ready, expected) => {
  expect(describeFailure(unitState(state), { ready, timeoutMs: 60_000 })).toBe(expected)
})

it('tells of one that had settled before', () => {
  const said = (state: Parameters<typeof unitState>[0]): string => describeFailure(unitState(state), { ready: true, watched: true, timeoutMs: 60_000 })
  expect(said({ result: 'exit-code', exit: exited(1) })).toBe('exited with status 1 while it was watched')
  expect(said({ result: 'oom-kill' })).toBe('ran out of memory while it was watched (limits.memory)')
})
