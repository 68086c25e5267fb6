// @ts-check
import { chooseBucketMs, foldJournal, formatCount, listFailures, makePaint, renderChart, renderFailures, renderLatency } from './render.js'

/** @typedef {import('./verdict.js').Deploy} Deploy */
/**
 * @typedef {object} Report
 * @property {import('../test/traffic/ledger.js').Ledger} ledger
 * @property {string} first the release before all deploys
 * @property {Deploy[]} deploys
 * @property {string[]} faults
 * @property {{ deploy: Deploy, journal: string }[]} stories
 */

/**
 * The ledger that a person can believe.
 *
 * @param {NodeJS.WriteStream} out
 * @param {Report} report
 */
export function printLedger(out, report) {
  const colored = out.isTTY === true && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb'
  out.write(`${composeLedger(report, makePaint(colored)).join('\n')}\n`)
}

/**
 * @param {Report} report
 * @param {import('./render.js').Paint} paint
 * @returns {string[]} lines of 80 columns at most
 */
export function composeLedger({ ledger, first, deploys, faults, stories }, paint) {
  const heading = (/** @type {string} */ text) => ['', paint('bold', text), '']
  const bucketMs = chooseBucketMs(ledger.endMs ?? 0)
  const handovers = deploys.map((deploy) => ({ ...deploy, label: deploy.release, ok: deploy.status === 0 }))
  const releases = [first, ...deploys.map((deploy) => deploy.release)]
  return [
    ...heading(`Who answered, over time (a column is ${bucketMs / 1_000} s; ├ systemctl restart begins, ┤ ends)`),
    ...renderChart(ledger.timeline(bucketMs), releases, handovers, paint),
    ...heading('Latency, but for downloads'),
    ...renderLatency(listLatencies(ledger, first, deploys), paint),
    ...heading('Failed requests, of all that were sent (nothing is ever sent twice)'),
    ...renderFailures(ledger.byKind(), ledger.failures, paint),
    ...(ledger.failures.length > 0 ? ['', ...listFailures(ledger.failures)] : []),
    ...stories.flatMap(({ deploy, journal }) => [
      ...heading(`The journal's story of ${deploy.release} (journalctl -u shop -u 'shop@*')`),
      ...foldJournal(journal),
    ]),
    '',
    ...composeVerdict(ledger, deploys, faults, paint),
  ]
}

/**
 * Steady time and handovers in turn, so that each handover stands below what was usual before it.
 *
 * @param {import('../test/traffic/ledger.js').Ledger} ledger
 * @param {string} first
 * @param {Deploy[]} deploys
 * @returns {[string, import('../test/traffic/ledger.js').Latency][]}
 */
function listLatencies(ledger, first, deploys) {
  /** @type {[string, import('../test/traffic/ledger.js').Latency][]} */
  const rows = []
  let serving = first
  let steadyMs = 0
  for (const { release, status, fromMs, toMs } of deploys) {
    rows.push([`${serving} alone`, ledger.latency(steadyMs, fromMs)])
    rows.push([status === 0 ? `  handover to ${release}` : `  ${release} fails`, ledger.latency(fromMs, toMs)])
    if (status === 0) serving = release
    steadyMs = toMs
  }
  rows.push([`${serving} alone`, ledger.latency(steadyMs)])
  return rows
}

/**
 * @param {import('../test/traffic/ledger.js').Ledger} ledger
 * @param {Deploy[]} deploys
 * @param {string[]} faults
 * @param {import('./render.js').Paint} paint
 */
function composeVerdict(ledger, deploys, faults, paint) {
  if (faults.length > 0) return faults.map((fault) => paint('red', `Fault: ${fault}`))
  const broken = deploys.filter((deploy) => deploy.broken).length
  const deployed = `${deploys.length - broken} releases and ${broken} broken one`
  return [paint('green', `${deployed}, ${formatCount(ledger.requests)} requests, 0 failed.`)]
}
