/**
 * A migration in two phases of a real PostgreSQL, over two releases that overlap: release 1 writes the column `name`; release 2 adds
 * `full_name` before it starts (expand), writes both, and drops `name` once nobody of release 1 is left (contract).
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { ask, recorded } from './apps.js'
import { startPostgresql } from './databases.js'
import { expectTruth, liveRelease, makeInstalledApp, releasesOf, said, type DeployedApp, type Tree } from './deploys.js'
import { activeState, checkout, expectSuccess, holdfast, journal, units, waitFor } from './harness.js'

const require = createRequire(join(checkout, 'examples/jobs/package.json'))
const openDatabase = `import { createRequire } from 'node:module'
const { Pool } = createRequire(${JSON.stringify(join(checkout, 'examples/jobs/package.json'))})('pg')
const database = new Pool({ connectionString: process.env.DATABASE_URL, max: 2 })
`

/** Answers for the release, and imports for as long as it is told to: a request that outlasts deploys. */
const server = (release: string, insert: string): string => `import http from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
${openDatabase}
http.createServer(async (request, response) => {
  response.setHeader('x-release', '${release}')
  response.setHeader('x-generation', process.env.HOLDFAST_GENERATION)
  if (request.url !== '/import') return void response.end('release ${release}')
  let failed = 0
  for (;;) {
    await database.query("${insert}", ['written by ${release}']).catch((error) => { failed += 1; console.error(error.message) })
    const { rows } = await database.query('SELECT 1 FROM control WHERE goes_on')
    if (rows.length === 0) break
    await delay(50)
  }
  response.end(failed + ' failed')
}).listen(process.env.PORT)
`
const hook = (release: string, name: string, statements: string): string => `${openDatabase}
await database.query(\`BEGIN; ${statements}; INSERT INTO hooks VALUES ('${release} ${name}'); COMMIT\`)
console.log('${name} of ${release} is done')
await database.end()
`
const writesBoth = 'INSERT INTO people (name, full_name) VALUES ($1, $1)'

const releases: Record<string, Tree> = {
  1: { files: { 'server.js': server('1', 'INSERT INTO people (name) VALUES ($1)') } },
  2: {
    hooks: { migrate: 'node expand.js', after_drain: 'node contract.js' },
    files: {
      'server.js': server('2', writesBoth),
      'expand.js': hook('2', 'migrate', 'ALTER TABLE people ADD COLUMN full_name text; UPDATE people SET full_name = name'),
      'contract.js': hook('2', 'after_drain', 'UPDATE people SET full_name = name WHERE full_name IS NULL; ALTER TABLE people DROP COLUMN name'),
    },
  },
  3: {
    hooks: { migrate: 'node expand.js', after_drain: 'node contract.js' },
    files: { 'server.js': server('3', writesBoth), 'expand.js': hook('3', 'migrate', 'SELECT 1'), 'contract.js': hook('3', 'after_drain', 'SELECT 1') },
  },
}

interface Shop extends DeployedApp {
  query(text: string): Promise<Record<string, unknown>[]>
  columns(): Promise<string[]>
  /** Of which release, and which. */
  hooksRun(): Promise<unknown[]>
  written(release: string): Promise<number>
  deployRelease(release: string): Promise<void>
  /** An import by the live release; its answer comes after endImports(). */
  startImport(): Promise<string>
  endImports(): Promise<void>
}

async function makeShop(prefix: string): Promise<Shop> {
  const url = await startPostgresql()
  const { Pool } = require('pg')
  const pool = new Pool({ connectionString: url })
  // The server may be ended before the pool is.
  pool.on('error', () => {})
  onTestFinished(() => pool.end())
  const query = async (text: string): Promise<Record<string, unknown>[]> => (await pool.query(text)).rows
  await query('CREATE TABLE people (name text); CREATE TABLE control AS SELECT true AS goes_on; CREATE TABLE hooks (ran text)')
  const app = await makeInstalledApp(prefix, { top: `env = { DATABASE_URL = "${url}" }` })
  return {
    ...app,
    query,
    columns: async () => (await query("SELECT column_name FROM information_schema.columns WHERE table_name = 'people' ORDER BY 1")).map((row) => String(row['column_name'])),
    hooksRun: async () => (await query('SELECT ran FROM hooks')).map((row) => row['ran']),
    written: async (release) => Number((await query(`SELECT count(*) FROM people WHERE coalesce(${(await columnsOf(query)).map((name) => `people.${name}`).join(', ')}) = 'written by ${release}'`))[0]?.['count']),
    async deployRelease(release) {
      expectSuccess(await app.deploy(await app.tree(release, releases[release])))
    },
    async startImport() {
      return (await fetch(`http://${app.address}/import`)).text()
    },
    endImports: async () => void (await query('DELETE FROM control WHERE goes_on')),
  }
}
const columnsOf = async (query: Shop['query']): Promise<string[]> =>
  (await query("SELECT column_name FROM information_schema.columns WHERE table_name = 'people'")).map((row) => String(row['column_name']))

/** Release 2 is live while release 1 still imports. */
async function overlapping(prefix: string): Promise<{ shop: Shop; imported: Promise<string> }> {
  const shop = await makeShop(prefix)
  await shop.deployRelease('1')
  const imported = shop.startImport()
  await waitFor('release 1 imports', async () => (await shop.written('1')) > 0)
  await shop.deployRelease('2')
  expect((await ask(shop)).release).toBe('2')
  expect(await shop.columns()).toEqual(['full_name', 'name'])
  const before = await shop.written('1')
  await waitFor('release 1 goes on to write as it did', async () => (await shop.written('1')) > before + 5)
  expect(await units(`${shop.name}@1.1.service`, 'deactivating')).toHaveLength(1)
  expect((await recorded(shop) as { afterDrain?: object }).afterDrain).toMatchObject({ generation: 2 })
  return { shop, imported }
}

const noneOfGeneration = (shop: Shop, generation: number): Promise<boolean> =>
  waitFor(`generation ${generation} has ended`, async () => (await units(`${shop.name}@${generation}.*`, 'active', 'activating', 'deactivating')).length === 0, { timeoutMs: 30_000 })

it('contracts once the last instance of the older release has exited, and not before', async () => {
  const { shop, imported } = await overlapping('contract')
  expect(said(await holdfast('status', shop.name))).toMatch(/after_drain[^]*wait|wait[^]*after_drain/)
  expect(await shop.hooksRun()).toEqual(['2 migrate'])
  await shop.endImports()
  expect(await imported).toBe('0 failed')
  await waitFor('the contract has run', async () => (await shop.columns()).join() === 'full_name', { timeoutMs: 30_000 })
  await expectTruth(shop, '2')
  await waitFor('its end is recorded', async () => (await recorded(shop) as { afterDrain?: object }).afterDrain === undefined)
  expect((await liveRelease(shop)).afterDrain?.outcome).toBe('done')
  expect(await shop.hooksRun()).toEqual(['2 migrate', '2 after_drain'])
  expect(await journal(shop.name)).toContain('after_drain of 2 is done')
  expect(await shop.query('SELECT * FROM people WHERE full_name IS NULL')).toEqual([])

  // What release 1 needs is gone.
  const refused = await shop.holdfast('rollback')
  expect(refused.status, said(refused)).toBe(2)
  expect(said(refused)).toMatch(/after_drain[^]*--force/)
  await expectTruth(shop, '2')
  expectSuccess(await shop.holdfast('rollback', '--force'))
  await expectTruth(shop, '1')
  expect(await shop.hooksRun()).toHaveLength(2)
})

it('a rollback cancels a contract that waits, and runs no hook', async () => {
  const { shop, imported } = await overlapping('cancelled')
  expectSuccess(await shop.holdfast('rollback'))
  expect((await ask(shop)).release).toBe('1')
  expect((await recorded(shop) as { afterDrain?: object }).afterDrain).toBeUndefined()
  await shop.endImports()
  expect(await imported).toBe('0 failed')
  await noneOfGeneration(shop, 1)
  await noneOfGeneration(shop, 2)
  await expectTruth(shop, '1')
  await waitFor('nothing waits any longer', async () => (await activeState(`${shop.name}-after-drain.service`)) === 'inactive')
  expect(await shop.columns()).toEqual(['full_name', 'name'])
  expect(await shop.hooksRun()).toEqual(['2 migrate'])
  expect(releasesOf(shop).map(({ afterDrain }) => afterDrain)).toEqual([undefined, undefined])
})

it('a newer deploy cancels it, and its own waits for all who are older', async () => {
  const { shop, imported } = await overlapping('newer')
  await shop.deployRelease('3')
  await noneOfGeneration(shop, 2)
  expect(await shop.hooksRun()).toEqual(['2 migrate', '3 migrate'])
  expect((await recorded(shop) as { afterDrain?: object }).afterDrain).toMatchObject({ generation: 3 })
  await shop.endImports()
  expect(await imported).toBe('0 failed')
  await waitFor('its own has run', async () => (await shop.hooksRun()).includes('3 after_drain'), { timeoutMs: 30_000 })
  await expectTruth(shop, '3')
  expect(await shop.hooksRun()).toEqual(['2 migrate', '3 migrate', '3 after_drain'])
  expect(await shop.columns()).toEqual(['full_name', 'name'])
})

it('a contract that fails says so, and is not taken for done', async () => {
  const shop = await makeShop('failing')
  await shop.deployRelease('1')
  expectSuccess(await shop.deploy(await shop.tree('2', { ...releases[2], hooks: { after_drain: 'echo the column is locked >&2; exit 3' } , files: { 'server.js': server('2', 'INSERT INTO people (name) VALUES ($1)') } })))
  await waitFor('it has failed', async () => (await liveRelease(shop)).afterDrain?.outcome === 'failed', { timeoutMs: 30_000 })
  await expectTruth(shop, '2')
  expect(await journal(shop.name)).toContain('the column is locked')
  const status = await holdfast('status', shop.name)
  expect(status.status, said(status)).toBe(1)
  expect(said(status)).toMatch(/after_drain/)
})

it('--migrate-only runs the migration alone, and --no-migrate leaves it out', async () => {
  const shop = await makeShop('only')
  await shop.deployRelease('1')
  const only = await shop.deploy([await shop.tree('2', releases[2]), '--migrate-only'])
  expectSuccess(only)
  await expectTruth(shop, '1')
  expect(await shop.hooksRun()).toEqual(['2 migrate'])
  expect(await shop.columns()).toEqual(['full_name', 'name'])
  expectSuccess(await shop.deploy([await shop.tree('2', releases[2]), '--no-migrate']))
  await waitFor('the contract has run', async () => (await shop.columns()).join() === 'full_name', { timeoutMs: 30_000 })
  await expectTruth(shop, '2')
  expect(await shop.hooksRun()).toEqual(['2 migrate', '2 after_drain'])
})
