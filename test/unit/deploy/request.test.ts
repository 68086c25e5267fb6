import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, it, onTestFinished } from 'vitest'
import { endRequest, requestFolder, takeRequest } from '../../../src/deploy/request.js'
import { pathsOf, type AppPaths } from '../../../src/release/paths.js'

let paths: AppPaths
beforeEach(() => {
  const run = mkdtempSync(join(tmpdir(), 'holdfast-run-'))
  onTestFinished(() => rmSync(run, { recursive: true }))
  paths = pathsOf({ scope: 'system', config: '/etc/holdfast', units: '/etc/systemd/system', runtimeUnits: '/run/systemd/system', state: '/var/lib/holdfast', run }, 'shop')
})

/** What systemd does at a restart, by hand or not: the drain unit's ExecStop= runs first. */
const restart = (restarts: number) => {
  requestFolder(paths)
  return takeRequest(paths, restarts)
}

it('takes the folder at a restart, and the record at a start', () => {
  expect(restart(0)).toEqual({ request: { from: 'folder' }, retries: 0 })
  endRequest(paths, 0)
  expect(takeRequest(paths, 0)).toEqual({ request: { from: 'record' }, retries: 0 })
})

it('never takes the folder when systemd tries a start again by itself', () => {
  takeRequest(paths, 0)
  endRequest(paths, 0) // it failed: nothing serves
  expect(restart(1)).toEqual({ request: { from: 'record' }, retries: 1 })
  endRequest(paths, 1)
  expect(restart(2)).toEqual({ request: { from: 'record' }, retries: 2 })
})

it('goes on with what a killed run had begun', () => {
  restart(0)
  expect(restart(1)).toEqual({ request: { from: 'folder' }, retries: 1 })
  endRequest(paths, 1)
  expect(restart(2)).toEqual({ request: { from: 'record' }, retries: 2 })
})

it('goes on with a killed start as a start', () => {
  takeRequest(paths, 0)
  expect(restart(1)).toEqual({ request: { from: 'record' }, retries: 1 })
})

it('takes the folder at a restart by hand between two automatic ones, whose counter then stands still or is 0', () => {
  takeRequest(paths, 0)
  endRequest(paths, 0)
  restart(1)
  endRequest(paths, 1)
  expect(restart(1)).toEqual({ request: { from: 'folder' }, retries: 0 })
  endRequest(paths, 1)
  expect(restart(0)).toEqual({ request: { from: 'folder' }, retries: 0 })
})

it('takes the record where a run was killed before it could note anything', () => {
  expect(restart(1)).toEqual({ request: { from: 'record' }, retries: 1 })
})
