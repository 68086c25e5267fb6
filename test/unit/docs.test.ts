import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { events } from '../../src/deploy/story.js'
import { read } from './config/fixtures.js'

const root = resolve(import.meta.dirname, '../..')
const readText = (path: string): string => readFileSync(join(root, path), 'utf8')
const listPages = (folder: string): string[] =>
  readdirSync(join(root, folder)).filter((name) => name.endsWith('.md')).map((name) => join(folder, name))
const pages = [...listPages('.'), ...listPages('docs'), ...readdirSync(join(root, 'examples')).flatMap((name) => listPages(join('examples', name)))]

/** The commands of the program, those of the units alone left out. */
const commands = [...readText('src/cli/main.ts').matchAll(/\.command\('([a-z]+)'(, \{ hidden: true \})?\)/g)]
  .filter(([, , hidden]) => hidden === undefined)
  .map(([, name]) => name as string)

describe('commands', () => {
  it.each(pages)('%s names only those that there are', (page) => {
    // In code, as `holdfast init`, or typed behind a prompt; not the word in a sentence.
    const named = [...readText(page).matchAll(/(?:`|^\$ |^|sudo )holdfast (?:--user )?([a-z]+)/gm)].map(([, name]) => name as string)
    expect(named.filter((name) => !commands.includes(name) && !isProse(name))).toEqual([])
  })

  it('are all in the README', () => {
    const rows = [...readText('README.md').matchAll(/^\| `holdfast ([a-z]+)/gm)].map(([, name]) => name)
    expect(rows.toSorted()).toEqual(commands.toSorted())
  })
})

describe('docs/cli.md', () => {
  const text = readText('docs/cli.md')

  it('has a row for each command, which leads to its section', () => {
    const rows = [...text.matchAll(/^\| \[`([a-z]+)[^`]*`\]\(#([a-z-]+)\)/gm)]
    expect(rows.map(([, name]) => name).toSorted()).toEqual(commands.toSorted())
    expect(rows.filter(([, name, section]) => !(section as string).split('-').includes(name as string)).map(([, name]) => name)).toEqual([])
  })

  // What main.ts declares behind a command is up to the next one.
  const declarations = readText('src/cli/main.ts').split(/\.command\('/).slice(1).map((part) => [/^[a-z-]+/.exec(part)?.[0] as string, part] as const)
  it.each(declarations.filter(([name]) => commands.includes(name)))('tells the options of %s', (name, part) => {
    const sections = text.split(/^## /m).filter((section) => /^[^\n]*/.exec(section)?.[0].split(', ').includes(name))
    expect(sections).toHaveLength(1)
    const options = [...part.matchAll(/\.option\('(-[\w-]+)/g)].map(([, option]) => option as string)
    expect(options.filter((option) => !new RegExp(`(?<![\\w-])${option}(?![\\w-])`).test(sections[0] as string))).toEqual([])
  })
})

/** A line that begins with the package's name in the middle of a sentence. */
const isProse = (word: string): boolean => ['must', 'and', 'is'].includes(word)

describe('links', () => {
  it.each(pages)('of %s lead somewhere', (page) => {
    const targets = [...readText(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target as string)
    expect(targets.filter((target) => !/^[a-z]+:/.test(target)).filter((target) => !leadsSomewhere(page, target))).toEqual([])
  })
})

function leadsSomewhere(page: string, target: string): boolean {
  const [path = '', anchor] = target.split('#')
  const file = path === '' ? page : join(dirname(page), path)
  if (!existsSync(join(root, file))) return false
  return anchor === undefined || listAnchors(readText(file)).includes(anchor)
}

/** As GitHub makes them of headings. */
const listAnchors = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => (heading as string).toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'))

describe('the kinds of journal entries', () => {
  const known = Object.fromEntries(Object.entries(events).map(([name, { id }]) => [name, id]))

  it('stand in docs/how-it-works.md', () => {
    const rows = [...readText('docs/how-it-works.md').matchAll(/^\| `([a-z-]+)` \| `([0-9a-f]{32})` \|$/gm)]
    expect(Object.fromEntries(rows.map(([, name, id]) => [name, id]))).toEqual(known)
  })

  it('are explained by the catalog', () => {
    const ids = [...readText('units/holdfast.catalog').matchAll(/^-- ([0-9a-f]{32})$/gm)].map(([, id]) => id)
    expect(ids.toSorted()).toEqual(Object.values(known).toSorted())
  })
})

it('the configuration of the example is in order', () => {
  expect(read(readText('examples/shop/holdfast.toml')).app).toBe('shop')
})
