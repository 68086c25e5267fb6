import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { checkHeldBack, letMembersIn, type Member } from '../../../src/deploy/let-in.js'
import { holdBack, holdFile } from '../../../src/release/standby.js'
import { makePaths } from '../release/app-paths.js'
import { report, serveReports } from './private-servers.js'

const member = (process: number): Member => ({ generation: 2, process, unit: `shop@2.${process}.service` })
const never = new AbortController().signal

function makeApp(): { paths: ReturnType<typeof makePaths> } {
  const made = makePaths()
  const paths = { ...made, run: join(made.state, 'run/shop') }
  mkdirSync(paths.run, { recursive: true })
  return { paths }
}

it('is held back: each process says that it does not accept', async () => {
  const app = makeApp()
  for (const process of [1, 2]) await serveReports(app.paths, member(process), () => report({ accepting: false }))
  expect(await checkHeldBack(app, [member(1), member(2)], never)).toBeUndefined()
})

it('is waited for until it tells of itself', async () => {
  const app = makeApp()
  let asked = 0
  await serveReports(app.paths, member(1), () => (++asked < 3 ? 'busy\n' : report({ accepting: false })))
  expect(await checkHeldBack(app, [member(1)], never)).toBeUndefined()
  expect(asked).toBe(3)
})

it('is refused at once where a process accepts though it is to be held back', async () => {
  const app = makeApp()
  await serveReports(app.paths, member(1), () => report({ accepting: false }))
  await serveReports(app.paths, member(2), () => report({ accepting: true }))
  expect(await checkHeldBack(app, [member(1), member(2)], never)).toEqual({ unit: 'shop@2.2.service', reason: expect.stringMatching(/^accepts connections, though it was to be held back/) })
})

it('is let in when each says that it accepts', async () => {
  const app = makeApp()
  holdBack(app.paths, [member(1)])
  await serveReports(app.paths, member(1), () => report({ accepting: !existsSync(holdFile(app.paths, member(1))) }))
  expect(await checkHeldBack(app, [member(1)], never)).toBeUndefined()
  expect(await letMembersIn(app, [member(1)], never)).toBeUndefined()
})
