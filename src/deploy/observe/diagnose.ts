import type { NativePackage } from '../../runtime/native.js'
import type { Machine } from '../install/machine.js'

/** One line of `holdfast doctor`. */
export interface Finding {
  /** Undefined: of the machine. */
  app?: string
  level: 'ok' | 'warn' | 'fail'
  what: string
  /** A command, or what to do; absent where all is well. */
  mend?: string
}

/** The oldest systemd that all of this was tried on as PID 1 and is still cared for: Debian 12's. */
const oldestVersion = 252
const oldestNode = 20
const gibibyte = 2 ** 30

/** Judges the machine. Pure. */
export function diagnoseMachine(machine: Machine): Finding[] {
  return [
    ...judgeSystemd(machine),
    ...judgePrivileges(machine),
    ...judgePrograms(machine),
    ...judgeNative(machine),
    ...judgeCgroup(machine),
    ...judgeJournal(machine),
    ...judgeDisk(machine),
  ]
}

function judgeSystemd({ scope, booted, systemd, user, hasBus }: Machine): Finding[] {
  if (!booted) {
    return [fail('systemd does not run here: /run/systemd/system is missing', 'Use a machine, or a container, that systemd has booted.')]
  }
  if (systemd === undefined) {
    return scope === 'user'
      ? [fail(`no systemd of user ${user.name} answers`, `sudo loginctl enable-linger ${user.name}, then log in anew (su and sudo give no session)`)]
      : [fail('systemd runs, but does not answer', 'systemctl status')]
  }
  const whose = scope === 'user' ? `systemd ${systemd.version} of user ${user.name}` : `systemd ${systemd.version}`
  return [
    Number.isNaN(systemd.version) || systemd.version < oldestVersion
      ? warn(`${whose} runs; ${oldestVersion} or later is what Holdfast is made for`, 'Upgrade the distribution, such as to Debian 12.')
      : ok(`${whose} runs (${systemd.state})`),
    hasBus
      ? ok('D-Bus is there')
      : warn('there is no D-Bus: holdfast run does not work, nor status without root', `apt-get install ${scope === 'user' ? 'dbus-user-session' : 'dbus'}`),
  ]
}

function judgePrivileges({ scope, user }: Machine): Finding[] {
  if (scope === 'user') {
    return [
      user.lingers
        ? ok(`${user.name} lingers: apps run from boot on, and after logout`)
        : warn(`${user.name} does not linger: apps start at login and stop at logout`, `sudo loginctl enable-linger ${user.name}`),
    ]
  }
  return [
    user.uid === 0
      ? ok('this is root')
      : warn(`this is ${user.name}, not root: status and logs work, but install, run and stop do not`, 'sudo holdfast doctor, or holdfast --user doctor'),
  ]
}

function judgePrograms({ node, programs, missingPrograms, native }: Machine): Finding[] {
  // These two are needed only where a native package is not there.
  const fallbacks: Record<string, keyof Machine['native']> = { 'systemd-notify': 'sd-notify', logger: 'systemd-journald' }
  const missing = missingPrograms.filter((program) => {
    const standsInFor = fallbacks[program]
    return standsInFor === undefined || !native[standsInFor].loaded
  })
  return [
    Number.parseInt(node.version, 10) >= oldestNode
      ? ok(`node ${node.version} (${node.path})`)
      : fail(`node ${node.version} (${node.path}); ${oldestNode} or later is needed`, 'See https://nodejs.org/en/download'),
    programs === undefined ? ok('node and holdfast are where units may run them') : fail(programs.problem, programs.mend ?? 'npm install --global holdfast'),
    ...missing.map((program) => fail(`there is no program ${program}`, `apt-get install ${packageOf(program)}`)),
  ]
}

function packageOf(program: string): string {
  const packages: Record<string, string> = { logger: 'bsdutils', diff: 'diffutils', sync: 'coreutils', id: 'coreutils', getent: 'libc-bin' }
  return packages[program] ?? 'systemd'
}

function judgeNative({ native }: Machine): Finding[] {
  return (Object.entries(native) as [keyof Machine['native'], NativePackage][]).map(([name, status]) => {
    if (status.loaded) return ok(`${name} is loaded`)
    const instead = name === 'sd-notify' ? 'systemd-notify(1) does its work, some 6 ms a message' : 'logger(1) does its work, at the cost of a process per entry'
    const mend = status.reason.startsWith('HOLDFAST_NATIVE')
      ? 'unset HOLDFAST_NATIVE'
      : `apt-get install g++ make pkg-config python3 libsystemd-dev, then: npm rebuild ${name} (or install it anew; npm 12 asks for "allowScripts": {"${name}": true} in package.json)`
    return warn(`${name} is not loaded: ${status.reason}. ${instead}`, mend)
  })
}

function judgeCgroup({ scope, cgroup }: Machine): Finding[] {
  if (cgroup.version === 1) {
    return [warn('control groups are version 1: limits work in part only, and systemd 258 does not boot with them', 'Boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line.')]
  }
  const missing = (['memory', 'pids'] as const).filter((controller) => !cgroup.controllers.includes(controller))
  if (missing.length === 0) return [ok(`control groups are version 2, with ${cgroup.controllers.join(', ')}`)]
  const settings = missing.map((controller) => (controller === 'memory' ? 'limits.memory (MemoryMax=)' : 'limits.tasks (TasksMax=)'))
  const mend =
    scope === 'user'
      ? 'sudo systemctl edit user@.service, with: [Service] Delegate=memory pids. Then log in anew.'
      : 'Boot with cgroup_enable=memory on the kernel command line; in a container, let its host delegate the controller.'
  return [warn(`control groups are version 2, but without ${missing.join(' and ')}: ${settings.join(' and ')} would do nothing`, mend)]
}

function judgeJournal({ journalIsKept }: Machine): Finding[] {
  return [
    journalIsKept
      ? ok('the journal is kept over reboots')
      : warn('the journal is lost at each reboot: there is no /var/log/journal', 'mkdir -p /var/log/journal && journalctl --flush'),
  ]
}

function judgeDisk({ disk }: Machine): Finding[] {
  if (disk === undefined || disk.totalBytes === 0) return []
  const free = `${(disk.freeBytes / gibibyte).toFixed(1)} GiB of ${(disk.totalBytes / gibibyte).toFixed(1)} are free below ${disk.folder}`
  const short = disk.freeBytes < gibibyte / 4 || disk.freeBytes < disk.totalBytes * 0.03
  return [short ? warn(`${free}, and every release is a copy`, `du -sh ${disk.folder}/*`) : ok(free)]
}

export const ok = (what: string): Finding => ({ level: 'ok', what })
export const warn = (what: string, mend: string): Finding => ({ level: 'warn', what, mend })
export const fail = (what: string, mend: string): Finding => ({ level: 'fail', what, mend })
