// The app brings a copy of its own, as with a global preload and a local dependency.
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-copy-'))
process.on('exit', () => rmSync(folder, { recursive: true }))
cpSync(dirname(dirname(fileURLToPath(import.meta.resolve('holdfast')))), folder, { recursive: true })
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
const copy = await import(pathToFileURL(join(folder, 'runtime/index.js')))
http.createServer((_, response) => response.end('hello')).listen(3000, () => {
  console.log(`listeners of the copy: ${JSON.stringify(copy.listeners().map((each) => each.name))}, ready: ${copy.ready()}`)
})
