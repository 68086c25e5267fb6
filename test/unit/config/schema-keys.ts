import type { Shape, TableCheck } from '../../../src/config/check.js'
import { listenerTable } from '../../../src/config/listen.js'
import { schema } from '../../../src/config/schema.js'

/** Every key of the schema as the documentation writes it: `start.timeout`, `listen.<name>`. */
export function schemaKeys(): string[] {
  return listKeys(schema.shape, '').flatMap((key) => (key === 'listen' ? ['listen.<name>', ...listKeys(listenerTable.shape, 'listen.<name>.')] : [key]))
}

function listKeys(shape: Shape, prefix: string): string[] {
  return Object.entries(shape).flatMap(([key, { check }]) => {
    const inner = (check as Partial<TableCheck<Shape>>).shape
    return inner ? listKeys(inner, `${prefix}${key}.`) : [`${prefix}${key}`]
  })
}

/** What stands in a key's place when it is absent, as the documentation writes it. */
export function schemaDefaults(): Record<string, string> {
  const defaults: Record<string, string> = {}
  const collect = (shape: Shape, prefix: string): void => {
    for (const [key, spec] of Object.entries(shape)) {
      const inner = (spec.check as Partial<TableCheck<Shape>>).shape
      if (inner) collect(inner, `${prefix}${key}.`)
      else if (spec.presence === 'required') defaults[prefix + key] = 'required'
      else if (spec.presence === 'optional') defaults[prefix + key] = 'none'
      else defaults[prefix + key] = `\`${JSON.stringify(spec.fallback)}\``
    }
  }
  collect(schema.shape, '')
  return defaults
}
