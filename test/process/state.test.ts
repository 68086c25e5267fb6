import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'

it('a swap of a file has one winner among processes that began from the same', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-swap-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'state.json')
  writeFileSync(file, '0')
  const program = `import { swapDurably } from ${JSON.stringify(join(import.meta.dirname, '../../dist/release/durable-file.js'))}
    import { readFileSync } from 'node:fs'
    let won = 0
    for (let n = 0; n < 15; n += 1) { const now = readFileSync(process.argv[1], 'utf8'); if (swapDurably(process.argv[1], now, String(Number(now) + 1))) won += 1 }
    console.log(won)`
  const counts = await Promise.all(Array.from({ length: 4 }, () => new Promise<number>((resolve, reject) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, file], { stdio: ['ignore', 'pipe', 'inherit'] })
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    child.on('exit', (status) => (status === 0 ? resolve(Number(out)) : reject(new Error(`exit ${status}`))))
  })))
  const won = counts.reduce((sum, count) => sum + count, 0)
  expect(Number(readFileSync(file, 'utf8'))).toBe(won)
  expect(won).toBeGreaterThan(0)
})
