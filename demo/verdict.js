// @ts-check
/**
 * @typedef {object} Deploy what one `systemctl restart` did
 * @property {string} release
 * @property {boolean} broken the release is meant to fail
 * @property {number | string} status the command's exit status, or the signal that ended it
 * @property {string} activeState of shop.service afterwards
 * @property {number} fromMs
 * @property {number} toMs
 */

/**
 * Judges the whole run. Pure, so that tests can show that each promise, broken, is a fault.
 *
 * @param {import('../test/traffic/ledger.js').Ledger} ledger
 * @param {Deploy[]} deploys those that were tried
 * @param {{ first: string, planned: number, socketState: string }} run the release before all deploys; how many were
 *   planned; the state of the socket unit at the end
 * @returns {string[]} faults; none when the demo has shown what it claims
 */
export function judge(ledger, deploys, { first, planned, socketState }) {
  const faults = []
  if (ledger.requests === 0) faults.push('There was no traffic at all.')
  if (ledger.failures.length > 0) {
    const kinds = Object.entries(ledger.failuresByOutcome()).map(([kind, count]) => `${count} ${kind}`)
    faults.push(`${ledger.failures.length} requests failed: ${kinds.join(', ')}.`)
  }
  if (deploys.length < planned) faults.push(`Only ${deploys.length} of ${planned} deploys were tried.`)
  let serving = first
  for (const [index, deploy] of deploys.entries()) {
    const until = deploys[index + 1]?.fromMs ?? Infinity
    if (deploy.broken) faults.push(...judgeBroken(ledger, deploy, serving, until))
    else {
      faults.push(...judgeGood(ledger, deploy, until))
      serving = deploy.release
    }
  }
  if (socketState !== 'active') faults.push(`The socket unit is ${socketState} at the end, expected active.`)
  return faults
}

/**
 * @param {import('../test/traffic/ledger.js').Ledger} ledger
 * @param {Deploy} deploy
 * @param {number} untilMs when the next deploy began
 */
function judgeGood(ledger, { release, status, activeState, toMs }, untilMs) {
  const faults = []
  if (status !== 0) faults.push(`The deploy of ${release} ended with ${status}, expected 0.`)
  if (activeState !== 'active') faults.push(`shop.service is ${activeState} after ${release}, expected active.`)
  // Kept connections move over one by one, with the next answer on each: look at the last second of requests.
  const after = startedBetween(ledger, toMs, untilMs)
  const lastMs = after.reduce((latest, record) => Math.max(latest, record.startMs), -Infinity)
  const settled = after.filter((record) => record.startMs >= lastMs - 1_000)
  const others = settled.filter((record) => record.release !== release)
  if (settled.length === 0) faults.push(`No request came to see who answers after the deploy of ${release}.`)
  if (others.length > 0) faults.push(`${others.length} requests were still answered by ${others[0]?.release || 'nobody'} long after the deploy of ${release}.`)
  return faults
}

/**
 * @param {import('../test/traffic/ledger.js').Ledger} ledger
 * @param {Deploy} deploy
 * @param {string} serving the good release that must not notice
 * @param {number} untilMs
 */
function judgeBroken(ledger, { release, status, activeState, fromMs, toMs }, serving, untilMs) {
  const faults = []
  if (status === 0) faults.push(`The deploy of the broken ${release} ended with 0, expected a failure.`)
  if (activeState !== 'failed') faults.push(`shop.service is ${activeState} after the broken ${release}, expected failed.`)
  if (ledger.answeredBy(release) > 0) faults.push(`The broken ${release} answered ${ledger.answeredBy(release)} requests.`)
  const after = startedBetween(ledger, toMs, untilMs)
  if (after.length === 0) faults.push(`No request came after the broken ${release}.`)
  const records = startedBetween(ledger, fromMs, untilMs).filter((record) => record.outcome === 'ok')
  if (records.some((record) => record.release !== serving)) faults.push(`Others than ${serving} answered around the broken ${release}.`)
  const generations = new Set(records.map((record) => record.generation))
  if (generations.size > 1) faults.push(`${serving} was started anew around the broken ${release}: generations ${[...generations].join(', ')}.`)
  return faults
}

/**
 * @param {import('../test/traffic/ledger.js').Ledger} ledger
 * @param {number} fromMs
 * @param {number} toMs
 */
function startedBetween(ledger, fromMs, toMs) {
  return ledger.records.filter((record) => record.startMs >= fromMs && record.startMs < toMs)
}
