import { describe, expect, test } from 'vitest'
import { composeLedger } from '../../demo/report.js'
import { describeTraffic } from '../../demo/progress.js'
import { makePaint } from '../../demo/render.js'
import { judge, type Deploy } from '../../demo/verdict.js'
import { Ledger, type RequestRecord } from '../traffic/ledger.js'

/** A run as it should be: 1 serves, 2 takes over at 10 s, 3 is broken at 20 s, 4 takes over at 30 s; ends at 40 s. */
function goodRun() {
  const deploys: Deploy[] = [
    { release: '2', broken: false, status: 0, activeState: 'active', fromMs: 10_000, toMs: 13_000 },
    { release: '3', broken: true, status: 1, activeState: 'failed', fromMs: 20_000, toMs: 21_000 },
    { release: '4', broken: false, status: 0, activeState: 'active', fromMs: 30_000, toMs: 33_000 },
  ]
  const records: RequestRecord[] = []
  for (let startMs = 0; startMs < 40_000; startMs += 100) {
    const release = startMs < 13_000 ? '1' : startMs < 33_000 ? '2' : '4'
    records.push({ kind: 'post', startMs, durationMs: 2, release, generation: release, outcome: 'ok' })
  }
  return { deploys, records, run: { first: '1', planned: 3, socketState: 'active' } }
}

function judgeRun({ deploys, records, run }: ReturnType<typeof goodRun>) {
  return judge(ledgerOf(records), deploys, run)
}

function ledgerOf(records: RequestRecord[]) {
  const ledger = new Ledger()
  for (const record of records) ledger.add(record)
  ledger.endMs = 40_000
  return ledger
}

/** The good run with one thing changed. */
function spoilt(change: (run: ReturnType<typeof goodRun>) => void) {
  const run = goodRun()
  change(run)
  return judgeRun(run)
}

test('a run as it should be has no fault', () => {
  expect(judgeRun(goodRun())).toEqual([])
})

describe('each broken promise is a fault', () => {
  const cases: [string, (run: ReturnType<typeof goodRun>) => void, RegExp][] = [
    ['one request failed', ({ records }) => (records[7]!.outcome = 'reset'), /^1 requests failed: 1 reset\.$/],
    ['a good deploy failed', ({ deploys }) => (deploys[0]!.status = 1), /deploy of 2 ended with 1, expected 0/],
    ['a good deploy was killed', ({ deploys }) => (deploys[2]!.status = 'SIGTERM'), /deploy of 4 ended with SIGTERM/],
    ['a good deploy left the unit failed', ({ deploys }) => (deploys[0]!.activeState = 'failed'), /shop\.service is failed after 2/],
    ['the old release goes on answering', ({ records }) => (records[198]!.release = '1'), /^1 requests were still answered by 1 long after the deploy of 2/],
    ['the broken one succeeded', ({ deploys }) => (deploys[1]!.status = 0), /deploy of the broken 3 ended with 0/],
    ['the broken one is not seen by monitoring', ({ deploys }) => (deploys[1]!.activeState = 'active'), /active after the broken 3, expected failed/],
    ['the broken one answered', ({ records }) => (records[215]!.release = '3'), /The broken 3 answered 1 requests/],
    ['the broken one stopped the good one, which came back', ({ records }) => records.slice(215).forEach((record) => (record.generation = '9')), /2 was started anew around the broken 3: generations 2, 9/],
    ['nobody asked after a good one', ({ records }) => records.splice(130, 70), /No request came to see who answers after the deploy of 2/],
    ['nobody asked after the broken one', ({ records }) => records.splice(205, 96), /No request came after the broken 3/],
    ['a deploy was not tried', ({ deploys }) => deploys.pop(), /Only 2 of 3 deploys were tried/],
    ['the listener is down', ({ run }) => (run.socketState = 'failed'), /socket unit is failed at the end/],
    ['no traffic', ({ records }) => records.splice(0), /no traffic at all/],
  ]
  for (const [name, change, fault] of cases) {
    test(name, () => {
      expect(spoilt(change).join('\n')).toMatch(new RegExp(fault.source, 'm'))
    })
  }
})

test('the whole ledger fits 80 columns, and says so when all is well', () => {
  const { deploys, records } = goodRun()
  const journal = 'Nov 21 02:00:01 node[88]: RangeError: Invalid currency code : EURO\n'
  const stories = [{ deploy: deploys[1]!, journal }]
  const lines = composeLedger({ ledger: ledgerOf(records), first: '1', deploys, faults: [], stories }, makePaint(false))
  for (const line of lines) expect([...line].length).toBeLessThanOrEqual(80)
  expect(lines.at(-1)).toBe('2 releases and 1 broken one, 400 requests, 0 failed.')
  expect(lines).toContain(journal.trimEnd())
  const latencies = lines.filter((line) => line.endsWith(' ms')).map((line) => line.slice(0, 28).trimEnd())
  expect(latencies).toEqual(['1 alone', '  handover to 2', '2 alone', '  3 fails', '2 alone', '  handover to 4', '4 alone'])
  const faulty = composeLedger({ ledger: ledgerOf(records), first: '1', deploys, faults: ['It is cold.'], stories: [] }, makePaint(false))
  expect(faulty.at(-1)).toBe('Fault: It is cold.')
})

test('the live line tells who answered in the last second', () => {
  const ledger = ledgerOf(goodRun().records)
  expect(describeTraffic(ledger, 39_990)).toBe('400 requests, 0 failed; now 10/s from 4')
  expect(describeTraffic(ledger, 99_000)).toBe('400 requests, 0 failed; no answer now')
})
