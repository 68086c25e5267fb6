import { readFileSync } from 'node:fs'

/**
 * Fills a unit template. `{{name}}` stands for a value that is already escaped. A line whose value is
 * undefined is left out, together with the comment right above it; a list gives the line once for
 * each of its values (none: the line is left out).
 */
export type Values = Record<string, string | readonly string[] | undefined>

export type TemplateName =
  | 'app.service'
  | 'app-drain.service'
  | 'app-shutdown.service'
  | 'app-after-drain.service'
  | 'app-activate.service'
  | 'app-listener.socket'
  | 'app-preview.socket'
  | 'app-preview.service'
  | 'app-close@.target'
  | 'app@.socket'
  | 'app@.service'

/** The text of a template of the top-level folder `units/`. */
export function readTemplate(name: TemplateName): string {
  return readFileSync(new URL(`../../units/${name}`, import.meta.url), 'utf8')
}

export function fillTemplate(template: string, values: Values): string {
  const lines: string[] = []
  let comment: string[] = []
  for (const line of template.split('\n')) {
    const filled = fillLine(line, values)
    if (line.startsWith('#')) {
      comment.push(...filled)
      continue
    }
    if (filled.length > 0) lines.push(...comment, ...filled)
    comment = []
  }
  return [...lines, ...comment].join('\n')
}

function fillLine(line: string, values: Values): string[] {
  const names = [...line.matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1] as string)
  for (const name of names) {
    if (!(name in values)) throw new Error(`the template asks for {{${name}}}, which has no value`)
  }
  if (names.some((name) => values[name] === undefined)) return []
  const list = names.find((name) => Array.isArray(values[name]))
  const rounds = list === undefined ? [undefined] : (values[list] as readonly string[])
  return rounds.map((item) =>
    line.replace(/\{\{(\w+)\}\}/g, (_, name: string) => (name === list ? item : values[name]) as string),
  )
}
