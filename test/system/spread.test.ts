/** Several processes accept from one queue. How evenly is measured by scripts/spread; here only that none is left out. */
import { readFile, writeFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { readReport } from '../../src/deploy/checks/reports.js'
import { pathsOf, placesOf } from '../../src/release/paths.js'
import type { Report } from '../../src/runtime/report.js'
import { ask, makeShop } from './apps.js'
import { expectSuccess, holdfast, waitFor } from './harness.js'

const batch = 20
const mostBatches = 100

it.each([2, 4])('each of %i processes gets some of the connections, and together they count all', async (processes) => {
  const shop = await makeShop('spread', { config: '[start]\nsettle = "100ms"\n[drain]\ntimeout = "5s"' })
  await writeFile(shop.config, `processes = ${processes}\n${await readFile(shop.config, 'utf8')}`)
  expectSuccess(await holdfast('install', shop.config))

  const paths = pathsOf(placesOf('system'), shop.name)
  const numbers = Array.from({ length: processes }, (_, index) => index + 1)
  const countRequests = async (): Promise<number[]> => {
    const reports = await Promise.all(numbers.map((process) => readReport(paths, { generation: 1, process }, { timeoutMs: 5_000 })))
    return reports.map((report) => (report as Report).requests)
  }
  const sum = (counts: number[]): number => counts.reduce((a, b) => a + b)

  // Each request has a connection of its own. Which process gets one is left to the kernel: a fixed number would be a guess.
  let asked = 0
  let counts: number[]
  do {
    const answers = await Promise.all(Array.from({ length: batch }, () => ask(shop)))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    asked += batch
    // An answer is counted a moment after its client has it.
    counts = await waitFor(`all ${asked} requests are counted`, async () => {
      const now = await countRequests()
      return sum(now) >= asked ? now : undefined
    })
  } while (counts.includes(0) && asked < batch * mostBatches)
  expect(sum(counts)).toBe(asked)
  expect(counts.filter((count) => count > 0), `of ${asked} connections the processes got ${counts.join(', ')}`).toHaveLength(processes)
})
