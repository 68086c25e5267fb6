import { expect, test } from 'vitest'
import { readReceived } from '../../../src/release/git-command.js'

test.each([
  ['Receiving objects:  45% (450/1000), 1.50 MiB | 3.00 MiB/s\rReceiving objects:  46% (460/1000), 2.00 KiB | 3.00 MiB/s\r', 2048],
  ['Receiving objects: 100% (3/3), 230 bytes | 230.00 KiB/s, done.\n', 230],
  ['Receiving objects:  45% (450/1000)\r', undefined],
  ['remote: Counting objects: 100% (3/3), done.\n', undefined],
])('what git has received: %j', (said, bytes) => {
  expect(readReceived(said)).toBe(bytes)
})
