/** scripts/benchmark measures and prints; here only that it does, and that the runtime costs nothing like a fifth of a request. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { ensureBuilt, root } from './built.js'

beforeAll(ensureBuilt)

test('the benchmark runs, and the runtime adds next to no work', { timeout: 90_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'scripts/lib/benchmark.mjs'), '1', '3'], { cwd: root })
  const figures = (label: string) => {
    const line = stdout.split('\n').find((each) => each.startsWith(label)) ?? ''
    return [...line.slice(label.length).matchAll(/(-?[\d.]+) \(/g)].map((match) => Number(match[1]))
  }
  expect(figures('ratio of requests per second')).toEqual([expect.any(Number), expect.any(Number)])
  expect(figures('memory above, after load, MB').length).toBe(2)
  // Of processor time: requests per second say, on a busy machine, more about its other work.
  const [, holdfast] = figures('ratio of processor time')
  expect(holdfast).toBeGreaterThan(0.5)
  expect(holdfast).toBeLessThan(1.25)
})
