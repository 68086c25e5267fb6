/** Commands of package managers that install what the lock file says and do nothing else; the empty one is yarn's without a word. */
const commands: Record<string, readonly string[]> = {
  npm: ['ci', 'clean-install', 'install', 'i'],
  pnpm: ['install', 'i'],
  yarn: ['install', ''],
  bun: ['install', 'i', 'ci'],
}

/** Options that choose what is installed, or what is said of it, and nothing beyond. */
const options =
  /^--?(?:omit|include|only|production|prod|dev|P|p|no-audit|audit=false|no-fund|fund=false|no-optional|ignore-scripts|frozen-lockfile|immutable|prefer-offline|offline|prefer-frozen-lockfile|silent|s|quiet|q|loglevel|no-progress|progress=false|non-interactive|legacy-peer-deps|strict-peer-deps|no-save|inline-builds|reporter)(?:=[\w.,-]*)?$/
const optionsWithValue = new Set(['--omit', '--include', '--only', '--loglevel', '--reporter'])

/** Why an install command does more than the lock file tells, or undefined where it is a plain one. Pure. */
export function findCommandReason(argv: readonly string[]): string | undefined {
  const words = wordsOf(argv)
  if (words === undefined) return 'hooks.install is more than one plain install command'
  const [program = '', ...rest] = words
  const known = Object.hasOwn(commands, program) ? commands[program] : undefined
  if (known === undefined) return `hooks.install runs ${program}, of which it is not known what it needs`
  const [first = ''] = rest
  const command = first.startsWith('-') ? '' : first
  if (!known.includes(command)) return `hooks.install runs ${[program, command].join(' ').trim()}, which is not a plain install`
  const others = command === '' ? rest : rest.slice(1)
  for (let i = 0; i < others.length; i += 1) {
    const word = others[i] as string
    if (!options.test(word)) return `hooks.install has ${word}, with which it is not known what it needs`
    if (optionsWithValue.has(word)) i += 1
  }
  return undefined
}

/** The words of a command; of one for the shell, where that means nothing but words. */
function wordsOf(argv: readonly string[]): readonly string[] | undefined {
  const [program, option, text, ...rest] = argv
  if (program !== '/bin/sh' || option !== '-c') return argv
  if (text === undefined || rest.length > 0 || !/^[\w@%+=:,./ \t-]+$/.test(text)) return undefined
  const words = text.trim().split(/[ \t]+/)
  // A variable in front of the command.
  return words[0]?.includes('=') === true ? undefined : words
}
