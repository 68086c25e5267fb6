import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { events, storyOf } from '../../../src/deploy/story.js'

const catalog = readFileSync(join(import.meta.dirname, '../../../units/holdfast.catalog'), 'utf8')

it('has an explanation in the catalog for every event, and no other', () => {
  const explained = [...catalog.matchAll(/^-- ([0-9a-f]{32})$/gm)].map((match) => match[1])
  expect(explained.sort()).toEqual(Object.values(events).map(({ id }) => id).sort())
})

it('writes one entry with fields for machines', () => {
  const entries: unknown[] = []
  storyOf('shop', (entry) => entries.push(entry)).tell('deploy-live', 'Generation 2 is live.', {
    generation: 2, release: 'r2', previousGeneration: 1, previousRelease: 'r1', durationMs: 1234.5,
  })
  expect(entries).toEqual([
    {
      MESSAGE: 'Generation 2 is live.', MESSAGE_ID: events['deploy-live'].id, PRIORITY: 5, SYSLOG_IDENTIFIER: 'holdfast',
      HOLDFAST_APP: 'shop', HOLDFAST_PHASE: 'deploy-live', HOLDFAST_GENERATION: '2', HOLDFAST_RELEASE: 'r2',
      HOLDFAST_PREVIOUS_GENERATION: '1', HOLDFAST_PREVIOUS_RELEASE: 'r1', HOLDFAST_DURATION_MS: '1235',
    },
  ])
})
