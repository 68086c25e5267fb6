/** Values that break loggers, natively in the journal: each is one record, and says nothing that was not logged. */
import { writeFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { checkout, mustRun, uniqueApp, units, waitFor } from './harness.js'

const script = `
import { existsSync } from 'node:fs'
import { log } from ${JSON.stringify(`${checkout}/dist/runtime/index.js`)}
const circular = { name: 'c' }
circular.self = circular
const stackless = new Error('no stack')
stackless.stack = undefined
let deep = {}
for (let level = 0; level < 100_000; level++) deep = { deep }
const values = {
  null: null, undefined: undefined, circular, stackless, deep, NUL: 'a\\u0000b', huge: 'x'.repeat(2 ** 28), lines: 'one\\nMESSAGE=two\\n<0>three',
  hostile: new Proxy({}, { get() { throw new Error('no') }, ownKeys() { throw new Error('no') } }), bigint: 10n, symbol: Symbol('s'), surrogate: '\\ud800', empty: '',
  format: '%n%s%n', equals: 'A=B', map: new Map([['a', 1]]), bytes: new Uint8Array(100_000),
}
for (const [name, value] of Object.entries(values)) {
  log.info(value, { case: name })
  log.info('as a field', { case: name, value })
}
log.info('a list', Array.from({ length: 200_000 }, (_, n) => n))
log.info('many', Object.fromEntries(Array.from({ length: 60_000 }, (_, n) => ['key' + n, n])))
log.info('trusted', { _PID: '1', MESSAGE: 'forged', PRIORITY: 0, 'SYSLOG_IDENTIFIER': 'forged', HOLDFAST_APP: 'forged', __proto__: { INHERITED: 1 } })
log.info('the end')
// What a busy journald has not read yet waits in here, and would go with the process.
const wait = setInterval(() => existsSync(process.argv[2]) && clearInterval(wait), 50)
`

it('every value is one record, as it was logged', async () => {
  const app = uniqueApp('values')
  const file = `/srv/${app}.mjs`
  await writeFile(file, script)
  const env = Object.entries({ HOLDFAST_APP: app, HOLDFAST_INSTANCE: '1.1', HOLDFAST_RELEASE: 'r', HOLDFAST_GENERATION: '1' }).map(([name, value]) => `--setenv=${name}=${value}`)
  const seen = `${file}.seen`
  await mustRun('systemd-run', [`--unit=${app}`, ...env, process.execPath, file, seen])
  const records = await waitFor('the last record', async () => {
    await mustRun('journalctl', ['--sync'])
    const text = await mustRun('journalctl', ['--output=json', '--all', '--no-pager', `HOLDFAST_APP=${app}`])
    const found = text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, string>)
    return found.at(-1)?.['MESSAGE'] === 'the end' ? found : undefined
  }, { timeoutMs: 60_000 })
  await writeFile(seen, '')
  await waitFor('it has ended', async () => (await units(`${app}.service`, 'active')).length === 0)
  const [messages, fields] = [records.filter((record) => record['CASE'] && !record['MESSAGE']?.startsWith('as a field')), records.filter((record) => record['MESSAGE'] === 'as a field')]
  const textOf = (name: string): string | undefined => messages.find((record) => record['CASE'] === name)?.['MESSAGE']
  expect(Object.fromEntries(['null', 'undefined', 'circular', 'stackless', 'NUL', 'lines', 'hostile', 'bigint', 'surrogate', 'empty', 'format', 'equals', 'map'].map((name) => [name, textOf(name)]))).toEqual({
    null: 'null', undefined: 'undefined', circular: '{"name":"c","self":"[circular]"}', stackless: 'Error: no stack', NUL: 'ab', lines: 'one\nMESSAGE=two\n<0>three',
    hostile: '[unprintable]', bigint: '10', surrogate: '\ufffd', empty: '', format: '%n%s%n', equals: 'A=B', map: '{"a":1}',
  })
  expect(textOf('huge')).toMatch(/^x+… \(268173312 more characters\)$/)
  expect(textOf('deep')).toBe('[unprintable]')
  expect(messages).toHaveLength(17)
  expect(fields).toHaveLength(17)
  for (const { CASE = '', VALUE } of fields) if (CASE !== 'undefined') expect(VALUE, CASE).toEqual(textOf(CASE))
  expect(records.find((record) => record['MESSAGE'] === 'a list')).toMatchObject({ F_0: '0', F_255: '255', FIELDS_OMITTED: '199744' })
  expect(records.find((record) => record['MESSAGE'] === 'many')).toMatchObject({ KEY0: '0', FIELDS_OMITTED: '59744' })
  const trusted = records.find((record) => record['MESSAGE'] === 'trusted')
  expect(trusted).toMatchObject({ PID: '1', FIELD_MESSAGE: 'forged', FIELD_PRIORITY: '0', PRIORITY: '6', SYSLOG_IDENTIFIER: app })
  expect(trusted?.['_PID']).not.toBe('1')
  expect(records).toHaveLength(38)
})
