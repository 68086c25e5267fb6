import { constants } from 'node:os'
import type { UnitState } from '../systemd/systemd.js'

/** The statuses with which systemd itself gives up before the program runs: systemd.exec(5), "Process Exit Codes". */
const setupFailures: Record<number, string> = {
  200: 'its working directory could not be entered (200/CHDIR)',
  203: 'its program could not be run (203/EXEC)',
  208: 'its standard input could not be opened (208/STDIN)',
  209: 'its standard output could not be opened (209/STDOUT)',
  216: 'its group does not exist (216/GROUP)',
  217: 'its user does not exist (217/USER)',
  218: 'its capabilities could not be set (218/CAPABILITIES)',
  219: 'its control group could not be joined (219/CGROUP)',
  226: 'its sandbox could not be set up (226/NAMESPACE)',
  228: 'its system call filter could not be set up (228/SECCOMP)',
  238: 'its data directory could not be made (238/STATE_DIRECTORY)',
}

/**
 * Why an instance failed, as the end of a sentence that begins with its unit's name.
 * @param options.watched it had settled before: it was let in, or was about to be. Default false
 */
export function describeFailure(state: UnitState, { ready, watched = false, timeoutMs }: { ready: boolean; watched?: boolean; timeoutMs: number }): string {
  const when = watched ? 'while it was watched' : ready ? 'just after it was ready' : 'before it was ready'
  switch (state.result) {
    case 'timeout':
      return ready ? 'did not stop in time' : `was not ready within ${timeoutMs / 1000} s (start.timeout)`
    case 'watchdog':
      return `stopped answering the watchdog ${when}`
    case 'oom-kill':
      return `ran out of memory ${when} (limits.memory)`
    case 'resources':
      return 'could not be started: systemd lacked a file or a resource that it needs'
  }
  const { exit } = state
  if (exit === undefined) return `ended ${when}${state.result === 'success' ? '' : ` (${state.result})`}`
  return describeExit(exit, ` ${when}`)
}

/** How a main process ended, as the end of a sentence; `when` stands in it behind the verb. */
export function describeExit(exit: NonNullable<UnitState['exit']>, when = ''): string {
  if (exit.how !== 'exited') return `was ended by ${signalName(exit.status)}${when}${exit.how === 'dumped' ? ' and dumped core' : ''}`
  const setup = setupFailures[exit.status]
  return setup !== undefined ? `did not start: ${setup}` : `exited with status ${exit.status}${when}`
}

function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`
}
