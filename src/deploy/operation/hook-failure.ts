import { formatDuration } from '../../config/duration.js'
import type { UnitState } from '../../systemd/systemd.js'
import { describeExit } from '../failure.js'

/** Why a hook failed, as the end of a sentence that begins with its key, such as `hooks.install`. */
export function describeHookFailure(state: Pick<UnitState, 'active' | 'result' | 'exit'>, { timeoutMs }: { timeoutMs: number }): string {
  switch (state.result) {
    case 'timeout':
      return `took longer than ${formatDuration(timeoutMs)} (hooks.timeout) and was ended`
    case 'oom-kill':
      return 'ran out of memory (limits.memory)'
    case 'resources':
      return 'could not be started: systemd lacked a file or a resource that it needs'
  }
  if (state.exit !== undefined) return describeExit(state.exit)
  // What runs before it makes the folder the user's own.
  if (state.active === 'failed') return `could not be started: its folder could not be given to the app's user (${state.result})`
  return 'was stopped before its end'
}
