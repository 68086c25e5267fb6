import { parse } from 'smol-toml'
import { describe, expect, test } from 'vitest'
import { findSourceLines, type KeyPath } from '../../../src/config/source-lines.js'

const text = `# a comment with "quotes" and [brackets]
app = "shop" # app = "no"
"quoted key" = 1
a.b . "c.d" = '''
app = "not here"
[listen]
'''
literal = 'C:\\'
basic = "a \\" b \\\\"
multi = """
x \\""" y
[start]
"""""
list = [
  "one", # two
  ["]", '['],
  { k = 1 },
]
inline = { x = 1, y.z = { deep = "}" } }
when = 1979-05-27 07:32:00
  [ start ]
  timeout = "60s"
[a."b x".c]
d = 1
[[many]]
n = 1
[[many]]
n = 2
[many.sub]
k = 3
"\\u0061pp2" = 4
[listen]
http = 1
`

describe('findSourceLines', () => {
  const lines = findSourceLines(text)

  test.each<[KeyPath, number | undefined]>([
    [['app'], 2],
    [['quoted key'], 3],
    [['a'], 4],
    [['a', 'b'], 4],
    [['a', 'b', 'c.d'], 4],
    [['literal'], 8],
    [['basic'], 9],
    [['multi'], 10],
    [['list'], 14],
    [['list', 0], 15],
    [['list', 1], 16],
    [['list', 1, 1], 16],
    [['list', 2, 'k'], 17],
    [['inline', 'x'], 19],
    [['inline', 'y', 'z', 'deep'], 19],
    [['when'], 20],
    [['start'], 21],
    [['start', 'timeout'], 22],
    [['a', 'b x'], 23],
    [['a', 'b x', 'c', 'd'], 24],
    [['many'], 25],
    [['many', 0, 'n'], 26],
    [['many', 1, 'n'], 28],
    [['many', 1, 'sub', 'k'], 30],
    [['many', 1, 'sub', 'app2'], 31],
    [['listen', 'http'], 33],
    [['nowhere'], undefined],
    [['listen', 'app'], undefined],
    [['__proto__'], undefined],
  ])('%j', (path, line) => {
    expect(parse(text)).toBeDefined()
    expect(lines.find(path)?.line).toBe(line)
  })

  test('tells where a value begins and ends', () => {
    const values = (path: KeyPath): string | undefined => {
      const place = lines.find(path)
      return place && text.slice(place.valueStart, place.valueEnd)
    }
    expect(values(['app'])).toBe('"shop"')
    expect(values(['when'])).toBe('1979-05-27 07:32:00')
    expect(values(['multi'])).toBe('"""\nx \\""" y\n[start]\n"""""')
  })

  test.each(['app', 'a = ', 'a = "', 'a = [', '[', '= 1', '\u0000', 'a = """x'])('%j, which is no TOML, ends quietly', (broken) => {
    expect(findSourceLines(broken).find(['b'])).toBeUndefined()
  })
})
