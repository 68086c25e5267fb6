import { appendFileSync, existsSync, lstatSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { LineSplitter, longestLine, openOutput } from '../../../../src/deploy/operation/hook-output.js'

function split(...chunks: (string | Buffer)[]): string[] {
  const lines: string[] = []
  const splitter = new LineSplitter((line) => lines.push(line))
  for (const chunk of chunks) splitter.add(Buffer.from(chunk))
  splitter.end()
  return lines
}

it('cuts bytes into lines wherever they were parted', () => {
  expect(split('a\nb', 'c\n', '\n', 'd')).toEqual(['a', 'bc', '', 'd'])
  expect(split('a\r\nb\rc\n')).toEqual(['a', 'b\rc'])
  expect(split(Buffer.from('é').subarray(0, 1), Buffer.from('é').subarray(1), '\n')).toEqual(['é'])
  expect(split()).toEqual([])
})

it('takes what is no text, and keeps control characters', () => {
  expect(split(Buffer.from([0xff, 0xfe, 10, 0, 27, 10]))).toEqual(['\ufffd\ufffd', '\0\u001b'])
})

it('cuts a line that is too long, and goes on with the next', () => {
  const note = ' … (cut: the line is longer than 16 KiB)'
  expect(split('x'.repeat(longestLine), '\nnext')).toEqual(['x'.repeat(longestLine), 'next'])
  expect(split('x'.repeat(longestLine), 'y', 'z'.repeat(100_000), '\nnext')).toEqual([`${'x'.repeat(longestLine)}${note}`, 'next'])
})

it('reads a pipe to its end, whoever wrote there and however often it was opened', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-output-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'output')
  const lines: string[] = []
  const output = openOutput(file, (line) => lines.push(line))
  expect(lstatSync(file).mode & 0o7777).toBe(0o622)
  appendFileSync(file, 'one\n')
  await new Promise((resolve) => setImmediate(resolve))
  appendFileSync(file, 'two\nthree')
  await output.close()
  expect(lines).toEqual(['one', 'two', 'three'])
  expect(existsSync(file)).toBe(false)
})
