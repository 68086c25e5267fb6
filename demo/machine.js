// @ts-check
import { spawn } from 'node:child_process'
import http from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/** @typedef {{ status: number | string, output: string }} Result status: exit status, or the name of a signal */

/**
 * Runs a program to its end; whatever its status, that is for the caller to judge.
 *
 * @param {string[]} command
 * @param {{ timeoutMs?: number }} [options] killed after that; default 120 s
 * @returns {Promise<Result>} output: standard output and error, as they came
 */
export function run([program = '', ...args], { timeoutMs = 120_000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ status: code ?? signal ?? 'nothing', output }))
  })
}

/**
 * Runs a program that must succeed.
 *
 * @param {string[]} command
 * @returns {Promise<string>} its output
 */
export async function mustRun(command) {
  const { status, output } = await run(command)
  if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}:\n${output.trimEnd()}`)
  return output
}

/**
 * @param {string} unit
 * @returns {Promise<string>} its ActiveState=
 */
export async function readActiveState(unit) {
  return (await mustRun(['systemctl', 'show', '--property=ActiveState', '--value', unit])).trim()
}

/**
 * The journal's story of the app, manager and instances together.
 *
 * @param {string} app
 * @param {number} fromMs since the epoch
 * @param {number} [toMs]
 */
export async function readJournal(app, fromMs, toMs) {
  await run(['journalctl', '--sync'])
  const until = toMs === undefined ? [] : ['--until', `@${(toMs / 1_000).toFixed(3)}`]
  const since = ['--since', `@${(fromMs / 1_000).toFixed(3)}`]
  const units = ['-u', `${app}.service`, '-u', `${app}@*`]
  return mustRun(['journalctl', '--no-pager', '--quiet', '--no-hostname', '-o', 'short', ...units, ...since, ...until])
}

/**
 * Waits until the app answers for the first time. No request of the ledger: those begin after this.
 *
 * @param {string} url
 * @param {number} timeoutMs
 * @returns {Promise<string>} the release that answered
 */
export async function waitForAnswer(url, timeoutMs) {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const answer = await ask(url).catch((error) => error)
    if (!(answer instanceof Error)) return answer
    if (performance.now() > deadline) throw new Error(`no answer from ${url} within ${timeoutMs} ms: ${answer.message}`)
    await delay(50)
  }
}

/** @param {string} url @returns {Promise<string>} */
function ask(url) {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, timeout: 5_000 }, (response) => {
      response.resume()
      if (response.statusCode === 200) resolve(String(response.headers['x-release'] ?? ''))
      else reject(new Error(`status ${response.statusCode}`))
    })
    request.on('timeout', () => request.destroy(new Error('no answer in 5 s')))
    request.on('error', reject)
  })
}
