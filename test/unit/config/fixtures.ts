import { HoldfastError } from '../../../src/errors.js'
import { parseConfig, type ParseOptions } from '../../../src/config/load.js'
import type { Config } from '../../../src/config/model.js'

/** The least that a configuration says; `extra` goes above [listen], `tables` below it. */
export function write(extra = '', tables = ''): string {
  return `app = "shop"\ncommand = ["node", "server.js"]\n${extra}\n[listen]\nhttp = "127.0.0.1:8080"\n${tables}\n`
}

export function read(text: string, options: Partial<ParseOptions> = {}): Config {
  return parseConfig(text, { file: 'holdfast.toml', folder: '/srv/shop', ...options })
}

/** The error that `action` must throw. */
export function catchError(action: () => unknown): HoldfastError {
  try {
    action()
  } catch (error) {
    if (error instanceof HoldfastError) return error
    throw error
  }
  throw new Error('expected a HoldfastError, and nothing was thrown')
}

/** The message that reading `text` ends with. */
export function refuse(text: string, options: Partial<ParseOptions> = {}): string {
  const error = catchError(() => read(text, options))
  if (error.code !== 'config-invalid') throw error
  return error.message
}
