/** One assignment of a unit file, as it stands there: quoted and with its specifiers. */
export interface UnitSetting {
  section: string
  name: string
  value: string
}

/**
 * The assignments of a unit's text in order, drop-ins included; what comes later adds to or replaces
 * what came before, as systemd has it. Source: systemd.syntax(7).
 */
export function parseUnitText(text: string): UnitSetting[] {
  const settings: UnitSetting[] = []
  let section = ''
  let begun = ''
  for (const raw of text.split('\n')) {
    // A comment may stand between the lines of one value.
    if (/^\s*[#;]/.test(raw)) continue
    const line = begun + (begun === '' ? raw : raw.trimStart())
    if (line.endsWith('\\')) {
      begun = `${line.slice(0, -1)} `
      continue
    }
    begun = ''
    const header = /^\s*\[([^\]]+)\]\s*$/.exec(line)
    if (header !== null) section = header[1] as string
    const at = line.indexOf('=')
    if (header === null && at > 0) settings.push({ section, name: line.slice(0, at).trim(), value: line.slice(at + 1).trim() })
  }
  return settings
}

/**
 * Replaces the specifiers of systemd.unit(5) in a value.
 * @returns undefined for a specifier that `values` does not know
 */
export function expandSpecifiers(value: string, values: Record<string, string>): string | undefined {
  let unknown = false
  const expanded = value.replace(/%(.?)/g, (_, letter: string) => {
    if (letter === '%') return '%'
    const known = Object.hasOwn(values, letter) ? values[letter] : undefined
    if (known === undefined) unknown = true
    return known ?? ''
  })
  return unknown ? undefined : expanded
}
