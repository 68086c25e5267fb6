import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { knownKeys } from '../../../src/config/unknown-key.js'
import { schemaDefaults, schemaKeys } from './schema-keys.js'
import { read } from './fixtures.js'

const text = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8')
const rows = [...text.matchAll(/^\| `([a-z_]+(?:\.(?:[a-z_]+|<name>))*)` \| ([^|]+) \| ([^|]+) \| [^|]+ \|$/gm)]

test('the documentation and the schema have the same keys', () => {
  expect(rows.map((row) => row[1]).toSorted()).toEqual(schemaKeys().toSorted())
})

test('the documentation and the schema have the same defaults', () => {
  const documented = Object.fromEntries(rows.filter((row) => !row[1]?.startsWith('listen')).map((row) => [row[1], row[3]]))
  const { listen: _listen, ...defaults } = schemaDefaults()
  expect(documented).toEqual(defaults)
})

test('the list that suggestions are made from has the same keys', () => {
  const listed = Object.entries(knownKeys).flatMap(([table, keys]) => keys.map((key) => (table === '' ? key : `${table}.${key}`)))
  const tables = Object.keys(knownKeys)
  expect(listed.filter((key) => !tables.includes(key)).toSorted()).toEqual([...schemaKeys().filter((key) => !key.startsWith('listen')), 'listen'].toSorted())
})

test('the example is in order', () => {
  expect(read(/```toml\n(app[\s\S]*?)```/.exec(text)?.[1] ?? '').app).toBe('shop')
})
