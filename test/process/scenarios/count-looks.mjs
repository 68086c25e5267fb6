// Preloaded: says at the end how often the hold file was looked at after the start.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

let looks = 0
for (const name of ['existsSync', 'statSync', 'accessSync', 'stat']) {
  const original = fs[name]
  fs[name] = (path, ...rest) => {
    if (path === process.env.HOLDFAST_HOLD_FILE) looks++
    return original(path, ...rest)
  }
}
syncBuiltinESMExports()
process.on('exit', () => console.log(`looks at the hold file: ${looks}`))
