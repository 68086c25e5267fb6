#!/usr/bin/env node
// Takes the place of ssh(1): answers as the holdfast of another machine does, in the way that STUB_SSH names.
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const [, , ...args] = process.argv
const { STUB_SSH: how, STUB_SEEN: seen } = process.env
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`)
const at = '2026-11-21T10:00:00.000Z'

const refusals = {
  absent: [127, 'sh: 1: exec: holdfast: not found'],
  sudo: [1, 'sudo: a password is required'],
  old: [2, "error: unknown option '--remote'"],
  busy: [2, 'Error: ben deploys x to shop\nTry: add --wait'],
  unreachable: [255, 'ssh: connect to host shop.example.com port 22: Connection refused'],
}
if (how in refusals) {
  const [status, text] = refusals[how]
  process.stderr.write(`${text}\n`)
  process.exit(status)
}

process.stdout.write('Welcome to shop!\n')
if (how === 'chatty') {
  for (let i = 0; i < 10_000; i += 1) process.stderr.write(`${'x'.repeat(i > 9_995 ? 1_000_000 : 10)} \n`)
  process.stderr.write('line 9999\n', () => process.exit(3))
  await new Promise(() => {})
}
say({ type: 'ready', version: how === 'newer' ? '99.0.0' : createRequire(import.meta.url)('../../package.json').version })
if (how === 'cut') {
  process.stdin.once('data', () => process.exit(255))
} else {
  // One archive, frame by frame.
  let bytes = Buffer.alloc(0)
  const archive = []
  for await (const chunk of process.stdin) {
    bytes = Buffer.concat([bytes, chunk])
    while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0) && bytes.readUInt32BE(0) > 0) {
      archive.push(bytes.subarray(4, 4 + bytes.readUInt32BE(0)))
      bytes = bytes.subarray(4 + bytes.readUInt32BE(0))
    }
    if (bytes.length === 4 && bytes.readUInt32BE(0) === 0) break
  }
  writeFileSync(`${seen}.archive`, Buffer.concat(archive))
  writeFileSync(`${seen}.args`, JSON.stringify(args))
  if (how === 'lost-early') process.exit(255)
  if (how === 'plan') {
    process.stdout.write('{\n  "app": "shop",\n  "what": "a\u009b31m\u202eb"\n}\n')
    process.exit(0)
  }
  if (how === 'no-plan') {
    process.stdout.write('\u001b[31m  not JSON\n')
    process.exit(0)
  }
  if (how === 'hostile') {
    process.stdout.write(`null\n[]\n"x"\n{"type":"note"}\n{"type":"end","status":0}\n{"type":"step","step":"rm","state":"done","at":""}\n${'x'.repeat(5_000_000)}\n`)
    say({ type: 'deploy', kind: 'deploy', id: 'x\u001b]0;a\u0007 y', app: '\u202eshop', by: '\u001b[31manna', what: '\u202eweb', at, steps: [] })
    say({ type: 'deploy', kind: 'deploy', id: 'x', app: 1, by: {}, what: [], at, steps: 'all' })
    say({ type: 'step', step: 'fetch', state: 'done', at, durationMs: 100 })
    say({ type: 'end', outcome: 'live', status: '0', at, durationMs: 1 })
    say({ type: 'end', outcome: 'failed', status: 1, at, durationMs: 200, failure: { step: 'migrate', message: '\u001b[1mno\u001b[0m', log: ['\u001b]0;x\u0007why'], hint: 'mend\u0007it' } })
    await new Promise((resolve) => process.stdout.write('', resolve))
    process.exit(1)
  }
  say({ type: 'deploy', kind: 'deploy', id: 'x', app: 'shop', by: 'anna', what: 'web', at, steps: [] })
  if (how === 'lost') process.exit(255)
  say({ type: 'step', step: 'fetch', state: 'done', at, durationMs: 100 })
  if (how === 'failed') {
    say({ type: 'end', outcome: 'failed', status: 1, at, durationMs: 200, failure: { step: 'migrate', message: 'no', log: ['why'], hint: 'mend it' } })
    process.exit(1)
  }
  say({ type: 'end', outcome: 'live', status: 0, at, durationMs: 200, release: 'r', generation: 2 })
  process.exit(0)
}
