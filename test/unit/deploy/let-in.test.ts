import { existsSync } from 'node:fs'
import { expect, it } from 'vitest'
import { letMembersIn, seeHeldBack } from '../../../src/deploy/let-in.js'
import { holdBack, holdFile } from '../../../src/release/standby.js'
import { makeApp } from './app-on-disk.js'
import { report, serveReports } from './private-servers.js'

const members = [1, 2].map((process) => ({ generation: 4, process, unit: `shop@4.${process}.service` }))
const asking = { signal: new AbortController().signal, withinMs: 300 }

/** Two processes that are held back; `tell` says how often each was asked. */
async function makeHeldBack(tell: (process: number, times: number) => { accepting: boolean } | undefined) {
  const { paths } = makeApp()
  holdBack(paths, members)
  for (const member of members) {
    let times = 0
    await serveReports(paths, member, () => {
      const told = tell(member.process, (times += 1))
      return told === undefined ? '' : report(told)
    })
  }
  return { paths }
}

it('takes the files away, and waits until every process accepts', async () => {
  const asked = { 1: 0, 2: 0 } as Record<number, number>
  const app = await makeHeldBack((process, times) => ({ accepting: (asked[process] = times) >= process * 3 }))
  expect(await letMembersIn(app, members, { ...asking, withinMs: 10_000 })).toEqual({ kind: 'as-expected' })
  expect(asked).toEqual({ 1: 3, 2: 6 })
  expect(members.some((member) => existsSync(holdFile(app.paths, member)))).toBe(false)
})

it('says which does not accept, before one that tells nothing', async () => {
  const app = await makeHeldBack((process) => (process === 1 ? undefined : { accepting: false }))
  expect(await letMembersIn(app, members, asking)).toEqual({ kind: 'otherwise', unit: 'shop@4.2.service', reason: 'was let in, and did not accept connections within 0.3 s' })
})

it('tells one that has no report from one that does not accept', async () => {
  const app = await makeHeldBack((process) => (process === 1 ? undefined : { accepting: true }))
  expect(await letMembersIn(app, members, asking)).toMatchObject({ kind: 'silent', unit: 'shop@4.1.service', reason: expect.stringContaining('told nothing of itself within 0.3 s, as with an older version') as string })
})

it('sees whether they are held back, as soon as each tells it', async () => {
  const well = await makeHeldBack((_, times) => (times < 3 ? undefined : { accepting: false }))
  expect(await seeHeldBack(well, members, { ...asking, withinMs: 10_000 })).toEqual({ kind: 'as-expected' })
  const open = await makeHeldBack((process) => ({ accepting: process === 2 }))
  expect(await seeHeldBack(open, members, { ...asking, withinMs: 600_000 })).toEqual({ kind: 'otherwise', unit: 'shop@4.2.service', reason: 'accepts connections, although it is to be held back' })
  expect(members.every((member) => existsSync(holdFile(open.paths, member)))).toBe(true)
})

it('ends with what it is a part of', async () => {
  const app = await makeHeldBack(() => undefined)
  const stop = new AbortController()
  const waiting = letMembersIn(app, members, { signal: stop.signal })
  stop.abort()
  await expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
})
