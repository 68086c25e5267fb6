import { describe, expect, it } from 'vitest'
import { findingsText } from '../../../src/cli/doctor.js'
import { diagnoseMachine, type Finding } from '../../../src/deploy/observe/diagnose.js'
import type { Machine } from '../../../src/deploy/install/machine.js'

const good: Machine = {
  scope: 'system', booted: true, systemd: { version: 252, state: 'running' }, user: { name: 'root', uid: 0, lingers: false }, hasBus: true,
  node: { version: '20.1.0', path: '/usr/bin/node' }, programs: undefined, native: { 'sd-notify': { loaded: true }, 'systemd-journald': { loaded: true } },
  missingPrograms: [], cgroup: { version: 2, controllers: ['cpu', 'memory', 'pids'] }, journalIsKept: true,
  disk: { folder: '/var/lib/holdfast', freeBytes: 50 * 2 ** 30, totalBytes: 100 * 2 ** 30 },
}
const faults = (change: Partial<Machine>): Finding[] => diagnoseMachine({ ...good, ...change }).filter(({ level }) => level !== 'ok')

describe('a machine', () => {
  it('that is good has nothing to mend', () => expect(faults({})).toEqual([]))

  const cases: [string, Partial<Machine>, 'warn' | 'fail', RegExp, RegExp][] = [
    ['without systemd', { booted: false, systemd: undefined }, 'fail', /\/run\/systemd\/system is missing/, /booted/],
    ['whose systemd does not answer', { systemd: undefined }, 'fail', /does not answer/, /systemctl/],
    ['with no manager of the user', { scope: 'user', systemd: undefined, user: { name: 'ann', uid: 7, lingers: true } }, 'fail', /of user ann/, /enable-linger ann/],
    ['whose user does not linger', { scope: 'user', user: { name: 'ann', uid: 7, lingers: false } }, 'warn', /ann does not linger/, /enable-linger ann/],
    ['with an old systemd', { systemd: { version: 247, state: 'running' } }, 'warn', /systemd 247 runs; 252/, /Upgrade/],
    ['without D-Bus', { hasBus: false }, 'warn', /no D-Bus/, /apt-get install dbus$/],
    ['seen by somebody else', { user: { name: 'ann', uid: 7, lingers: false } }, 'warn', /ann, not root/, /sudo holdfast doctor/],
    ['with an old node', { node: { version: '18.20.0', path: '/n' } }, 'fail', /node 18\.20\.0/, /nodejs/],
    ['where others may write node', { programs: { problem: 'node is at /home/x', mend: 'apt-get install nodejs' } }, 'fail', /\/home\/x/, /nodejs/],
    ['without systemd-run', { missingPrograms: ['systemd-run', 'logger'] }, 'fail', /no program systemd-run/, /systemd/],
    ['without a native package', { native: { ...good.native, 'sd-notify': { loaded: false, reason: 'Cannot find module' } } }, 'warn', /sd-notify is not loaded: Cannot find module/, /npm rebuild sd-notify/],
    ['with the native packages off', { native: { ...good.native, 'systemd-journald': { loaded: false, reason: 'HOLDFAST_NATIVE=off is set' } } }, 'warn', /logger\(1\)/, /^unset HOLDFAST_NATIVE$/],
    ['without the memory controller', { cgroup: { version: 2, controllers: ['pids'] } }, 'warn', /limits\.memory \(MemoryMax=\) would do nothing/, /cgroup_enable=memory/],
    ['with control groups of version 1', { cgroup: { version: 1, controllers: [] } }, 'warn', /version 1/, /unified/],
    ['that forgets its journal', { journalIsKept: false }, 'warn', /lost at each reboot/, /mkdir -p \/var\/log\/journal/],
    ['with a full disk', { disk: { folder: '/v', freeBytes: 2 ** 20, totalBytes: 2 ** 30 } }, 'warn', /0\.0 GiB of 1\.0/, /du/],
  ]
  it.each(cases)('%s', (_, change, level, what, mend) => {
    const found = faults(change)
    expect(found.map((finding) => finding.level)).toEqual([level])
    expect(found[0]?.what).toMatch(what)
    expect(found[0]?.mend).toMatch(mend)
  })

  it('needs the program that stands in for a native package that is not there', () => {
    const native: Machine['native'] = { ...good.native, 'systemd-journald': { loaded: false, reason: 'x' } }
    expect(faults({ native, missingPrograms: ['logger', 'systemd-notify'] }).map(({ what }) => what)).toContain('there is no program logger')
    expect(faults({ native, missingPrograms: ['systemd-notify'] }).filter(({ level }) => level === 'fail')).toEqual([])
  })
})

it('the text has a section for each app, and a count', () => {
  const findings: Finding[] = [{ level: 'ok', what: 'fine' }, { app: 'shop', level: 'fail', what: 'a\nb', mend: 'do it' }, { app: 'shop', level: 'warn', what: 'c', mend: 'd' }]
  expect(findingsText(findings)).toBe('ok    fine\n\nshop:\nfail  a b\n      Try: do it\nwarn  c\n      Try: d\n\n1 ok, 1 to look at, 1 failed')
})
