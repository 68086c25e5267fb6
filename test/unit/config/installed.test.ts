import { describe, expect, test } from 'vitest'
import { installedText } from '../../../src/config/installed.js'
import { formatDuration, parseDuration } from '../../../src/config/duration.js'
import { formatSize, parseSize } from '../../../src/config/size.js'
import { catchError, read, write } from './fixtures.js'

describe('installedText', () => {
  test.each([
    ['directory = "." # here', 'directory = "/srv/my \\"shop\\"" # here'],
    ["directory = './code'", 'directory = "/srv/my \\"shop\\"/code"'],
    ['directory = """\n../x"""', 'directory = "/srv/x"'],
    ['directory = "/srv/other" # there', 'directory = "/srv/other" # there'],
    ["directory = '''\n/srv/other'''", "directory = '''\n/srv/other'''"],
    ['# directory = "."', '# directory = "."'],
    ['"directory" = "."\r', '"directory" = "/srv/my \\"shop\\""\r'],
  ])('%j', (line, expected) => {
    const text = installedText(write(`# kept\n${line}\n# kept too`), '/srv/my "shop"/holdfast.toml')
    expect(text).toBe(write(`# kept\n${expected}\n# kept too`))
    expect(read(text, { folder: undefined } as never).app).toBe('shop')
  })

  test('refuses what is not in order', () => {
    expect(catchError(() => installedText('x', '/srv/holdfast.toml')).code).toBe('config-invalid')
  })
})

test.each([['0s', 0], ['500ms', 500], ['60s', 60_000], ['15min', 900_000], ['1h', 3_600_000], ['2h 30min', 9_000_000], ['1d', 86_400_000], ['1.5s', 1500], [' 1h1ms ', 3_600_001]])(
  'a time of %j', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
    expect(parseDuration(formatDuration(ms))).toBe(ms)
  },
)

test.each([['16K', 16_384], ['512M', 2 ** 29], ['1G', 2 ** 30], ['1.5G', 1.5 * 2 ** 30], ['2T', 2 ** 41]])('a size of %j', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
  expect(parseSize(formatSize(bytes))).toBe(bytes)
})
