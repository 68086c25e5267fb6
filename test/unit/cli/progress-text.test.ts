import { describe, expect, it } from 'vitest'
import { barText, failureText, ProgressText } from '../../../src/cli/progress-text.js'
import { lineText } from '../../../src/deploy/foreign-text.js'
import type { DeployEvent } from '../../../src/deploy/operation/progress.js'

const at = '2026-11-21T10:00:00.000Z'
const story: DeployEvent[] = [
  { type: 'deploy', kind: 'deploy', id: '20261121-100000-abcdef', app: 'shop', by: 'anna@192.0.2.7', what: '/srv/shop', at, steps: [] },
  { type: 'step', step: 'fetch', state: 'began', at },
  { type: 'progress', step: 'fetch', done: 1024, total: 2048, unit: 'bytes' },
  { type: 'step', step: 'fetch', state: 'done', at, durationMs: 1234, note: 'main at abc' },
  { type: 'step', step: 'install', state: 'skipped', at, note: '--no-install' },
  { type: 'step', step: 'migrate', state: 'began', at },
  { type: 'output', step: 'migrate', line: '\t\u001b[31mred\u001b[0m\u0007 \u202etxt' },
  { type: 'note', text: 'two\nlines' },
  { type: 'step', step: 'migrate', state: 'failed', at, durationMs: 125_000 },
]
const tell = (text: ProgressText): string[] => story.flatMap((event) => text.lines(event, 0))

describe('the progress of a deploy', () => {
  it('is plain lines where there is no terminal, with a begin of what may take long', () => {
    expect(tell(new ProgressText({ terminal: false, colour: false }))).toEqual([
      'anna@192.0.2.7 deploys /srv/shop to shop (20261121-100000-abcdef)',
      'fetch     done        1.2 s  main at abc',
      'install   skipped            --no-install',
      'migrate:',
      '        red   txt',
      'note: two',
      '      lines',
      'migrate   failed  2 min 5 s',
    ])
  })

  it('has colours only where they are wanted', () => {
    const coloured = tell(new ProgressText({ terminal: true, colour: true })).join('\n')
    expect(coloured).toContain('\u001b[32mdone   \u001b[0m')
    expect(coloured).toContain('\u001b[31mfailed \u001b[0m')
    expect(coloured).not.toContain('migrate:')
  })

  it('shows what is under way in one line, as wide as there is room', () => {
    const text = new ProgressText({ terminal: true, colour: false })
    expect(text.live(0, 80)).toBeUndefined()
    text.lines(story[1] as DeployEvent, 1_000)
    expect(text.live(13_400, 80)).toBe('fetch     12 s')
    text.lines(story[2] as DeployEvent, 1_000)
    expect(text.live(13_400, 80)).toBe('fetch     [############------------]  1.0K of 2.0K  12 s')
    expect(text.live(13_400, 20)).toHaveLength(19)
    text.lines(story[3] as DeployEvent, 14_000)
    expect(text.live(14_000, 80)).toBeUndefined()
  })

  it('ends with what is live', () => {
    const text = new ProgressText({ terminal: false, colour: false })
    text.lines(story[0] as DeployEvent, 0)
    expect(text.lines({ type: 'end', outcome: 'live', status: 0, at, durationMs: 12_300, release: 'r', generation: 7 }, 0)).toEqual(['shop: generation 7 is live, release r, after 12.3 s.'])
    expect(text.lines({ type: 'end', outcome: 'migrated', status: 0, at, durationMs: 100 }, 0)[0]).toContain('--migrate-only')
  })

  it('tells a failure with its step, cause, log and next command', () => {
    const log = Array.from({ length: 30 }, (_, i) => `line ${i}`)
    const lines = failureText('shop', 'deploy', { step: 'migrate', message: 'it ended\nbadly', log, hint: 'holdfast deploy shop' }).split('\n')
    expect(lines[0]).toBe('Error: the deploy of shop failed at step migrate: it ended')
    expect(lines[1]).toBe('    badly')
    expect(lines.slice(2)).toEqual([...log.slice(-12).map((line) => `    ${line}`), 'Try: holdfast deploy shop'])
  })
})

it('tells amounts', () => {
  expect(barText({ done: 5, unit: 'files' })).toBe('5 files')
  expect(barText({ done: 3000, total: 2000, unit: 'bytes' })).toMatch(/^\[#{24}\]/)
})

it('keeps the terminal from what others print', () => {
  expect(lineText('\u001b]0;title\u0007ok\u001b[2J\u001b[1;1H')).toBe('ok')
  expect(lineText('a\rb\u009b31mc')).toBe('a b 31mc')
  expect(lineText('  npm warn')).toBe('  npm warn')
})
