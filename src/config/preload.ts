import type { Config } from './model.js'

/** Options of node that take the next word for their value. */
const takesValue = new Set([
  '-r', '--require', '--import', '--loader', '--experimental-loader', '-C', '--conditions', '--env-file', '--env-file-if-exists', '--title', '-e', '--eval', '-p', '--print',
  '--input-type', '--icu-data-dir', '--openssl-config', '--redirect-warnings', '--diagnostic-dir', '--disable-warning', '--stack-trace-limit', '--max-http-header-size',
])

/**
 * Whether a command runs node with the preload, `--import holdfast/register`: as an option of node's, or in the
 * variable NODE_OPTIONS. False where that cannot be seen, as inside a shell's words or in `env_file`.
 */
export function hasPreload({ command, env }: Pick<Config, 'command' | 'env'>): boolean {
  const [, ...args] = command
  return (isNode({ command }) && importsRegister(args)) || importsRegister((env['NODE_OPTIONS'] ?? '').split(/\s+/).filter(Boolean))
}

/** Whether a command runs node, as far as that can be seen. */
export const isNode = ({ command: [program = ''] }: Pick<Config, 'command'>): boolean => /(?:^|\/)node(?:js)?$/.test(program)

/** Looks at the options in front of the script. */
function importsRegister(args: readonly string[]): boolean {
  for (let i = 0; i < args.length; i += 1) {
    const arg = args[i] as string
    if (!arg.startsWith('-') || arg === '-' || arg === '--') return false
    const [, option = arg, value] = /^(--[^=]+)=(.*)$/.exec(arg) ?? []
    const isImport = option === '--import' || option === '--require' || option === '-r'
    if (isImport && isRegister(value ?? args[i + 1] ?? '')) return true
    if (value === undefined && takesValue.has(option)) i += 1
  }
  return false
}

/** The module by its name, or by its path in a package of any place. */
function isRegister(specifier: string): boolean {
  const path = specifier.replace(/^["']|["']$/g, '').replace(/^file:\/\//, '')
  return path === 'holdfast/register' || /^\/.*\/dist\/runtime\/register\.js$/.test(path) || /(?:^|\/)holdfast\/dist\/runtime\/register\.js$/.test(path)
}
