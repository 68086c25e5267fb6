import { expect, it } from 'vitest'
import { journalArguments, parseUnitState } from '../../../src/systemd/systemctl.js'

it('reads what systemctl show prints', () => {
  const block = 'Id=shop@3.1.service\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nMainPID=0\nNRestarts=2\nExecMainCode=1\nExecMainStatus=7\nInvocationID=abc\nStatusText=warming = up\nActiveEnterTimestamp=@1764000000\nMemoryCurrent=18446744073709551615'
  expect(parseUnitState(block)).toEqual({
    unit: 'shop@3.1.service', load: 'loaded', active: 'activating', sub: 'auto-restart', result: 'exit-code', mainPid: 0, restarts: 2,
    exit: { how: 'exited', status: 7 }, invocation: 'abc', status: 'warming = up', activeSince: '2025-11-24T16:00:00.000Z', memory: undefined,
  })
})

it('reads a unit that never ran', () => {
  expect(parseUnitState('Id=x.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nExecMainCode=0\nActiveEnterTimestamp=\nMemoryCurrent=[not set]')).toMatchObject({
    load: 'not-found', active: 'inactive', exit: undefined, activeSince: undefined, memory: undefined, restarts: 0, status: '',
  })
})

it('asks the journal for the newest entries since a time', () => {
  expect(journalArguments({ since: '2026-01-01T00:00:00.500Z', match: { A: ['1', '2'], B: ['3'] }, fields: ['A', 'B'], limit: 8 })).toEqual([
    '--no-pager', '--quiet', '--output=json', '--output-fields=A,B', '--reverse', '--lines=8', '--since=@1767225600', 'A=1', 'A=2', 'B=3',
  ])
})
