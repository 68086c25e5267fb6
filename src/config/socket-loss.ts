import { splitWords } from './shell-words.js'

/**
 * Programs that start the app as a child of theirs. The child inherits no sockets that it would take for its
 * own (LISTEN_PID names the parent, sd_listen_fds(3)), and the parent keeps SIGTERM and READY=1 from passing.
 */
export interface SocketLoss {
  /** What the program does. */
  reason: string
  /** The command that starts the app itself, where it can be told. */
  instead?: string[]
  /** What to do where no command can be told. */
  mend?: string
}

const asChild = (program: string): string => `\`${program}\` starts the app as its child, which loses the inherited sockets`

type Finder = (program: string, args: string[], scripts: Record<string, string>, depth: number) => SocketLoss | undefined

const wrapper = (mend?: string): Finder => (program) => ({ reason: asChild(program), ...(mend === undefined ? {} : { mend }) })

const notTheApp = (what: string): Finder => (program) => ({
  reason: `\`${program}\` ${what}`,
  mend: 'start the program itself, such as command = ["node", "server.js"]',
})

/** `npm start`, `pnpm run serve -- --port 80`, `yarn exec serve`. */
const packageManager: Finder = (program, args, scripts, depth) => {
  const reason = asChild([program, ...args.slice(0, 2)].join(' ').slice(0, 60))
  const separator = args.indexOf('--')
  const own = (separator === -1 ? args : args.slice(0, separator)).filter((arg) => !arg.startsWith('-'))
  const passed = separator === -1 ? [] : args.slice(separator + 1)
  if (['exec', 'x', 'dlx'].includes(own[0] ?? '')) return locate(reason, [...own.slice(1), ...passed], scripts, depth)
  const [name, ...rest] = ['run', 'run-script'].includes(own[0] ?? '') ? own.slice(1) : own
  const text = name !== undefined && Object.hasOwn(scripts, name) ? scripts[name] : undefined
  if (text === undefined) return { reason }
  const direct = resolveScript(text, scripts, depth + 1)
  if (direct !== undefined) return { reason, instead: [...direct, ...rest, ...passed] }
  return { reason, mend: `start what its script runs, \`${text.slice(0, 80).replace(/[\p{Cc}\p{Cf}]/gu, ' ')}\`, as a list of words` }
}

const packageRunner: Finder = (program, args, scripts, depth) =>
  locate(asChild([program, ...args.slice(0, 1)].join(' ').slice(0, 60)), args, scripts, depth)

/** `npx serve -l 3000`: the program lies in node_modules/.bin once it is a dependency. */
function locate(reason: string, args: string[], scripts: Record<string, string>, depth: number): SocketLoss {
  const words = args.slice(args.findIndex((arg) => !arg.startsWith('-')))
  if (args.length === 0 || words[0] === undefined || words[0].startsWith('-')) return { reason }
  const inner = settle(words, scripts, depth + 1)
  return inner === undefined ? { reason } : { reason, instead: fromPackage(inner) }
}

const bun: Finder = (program, args, scripts, depth) => {
  const runs = args[0] === 'run' ? args[1] : args[0]
  if (args[0] === 'x') return packageRunner(`${program} x`, args.slice(1), scripts, depth)
  if (args.includes('--watch') || args.includes('--hot')) return watching(program, args)
  // `bun server.ts` is the app itself; `bun start` or `bun run start` is a script in a shell.
  return runs !== undefined && !/[./]/.test(runs) && !runs.startsWith('-') ? packageManager(program, args, scripts, depth) : undefined
}

const watching = (program: string, args: string[]): SocketLoss => ({
  reason: `\`${program} --watch\` runs the app in a child, which loses the inherited sockets, and restarts it on its own`,
  instead: [program, ...args.filter((arg) => !/^--(?:watch|hot)(?:$|-|=)/.test(arg))],
})

const node: Finder = (program, args, scripts, depth) => {
  if (args.some((arg, index) => /^--watch(?:$|-|=)/.test(arg) && args.slice(0, index).every((before) => before.startsWith('-')))) return watching(program, args)
  const run = args.findIndex((arg) => /^--run(?:$|=)/.test(arg))
  if (run === 0) {
    const name = args[0]?.split('=')[1] ?? args[1] ?? ''
    return packageManager(`${program} --run`, [name], scripts, depth)
  }
  // `node node_modules/.bin/tsx server.ts` is tsx, which starts a second node.
  const script = args.findIndex((arg, index) => !arg.startsWith('-') && !nodeOptionsWithValue.has(args[index - 1] ?? ''))
  const name = /(?:^|\/)node_modules\/(?:\.bin\/|(?=[^/]+\/))([^/]+)/.exec(args[script] ?? '')?.[1]
  return name === undefined || !appLaunchers.has(name) ? undefined : findSocketLoss([name, ...args.slice(script + 1)], scripts, depth + 1)
}

const nodeOptionsWithValue = new Set(['-r', '--require', '--import', '--loader', '--experimental-loader', '-C', '--conditions', '--env-file', '--title'])

/** tsx and its kind: `node --import tsx server.ts` does the same in one process. */
const typeScriptLauncher: Finder = (program, args) => {
  const reason = asChild(program)
  const rest = (args[0] === 'watch' ? args.slice(1) : args).filter((arg) => arg !== '--watch')
  const file = rest.findIndex((arg) => /\.[cm]?[jt]sx?$/.test(arg))
  if (file === -1) return { reason, mend: 'write command = ["node", "--import", "tsx", "server.ts"], or compile it and start the result' }
  // tsx takes node's options; the others have their own.
  return { reason, instead: ['node', '--import', 'tsx', ...rest.slice(program === 'tsx' ? 0 : file)] }
}

/** `nodemon server.js`, `pm2 start server.js --name shop -- --port 80`. */
const restarter: Finder = (program, args) => {
  const reason = `${asChild(program)}; restarting is systemd's work here`
  const file = args.findIndex((arg) => /\.[cm]?jsx?$/.test(arg))
  const separator = args.indexOf('--')
  const isPlain = file === 0 || !args[file - 1]?.startsWith('-')
  if (file === -1 || !isPlain || (separator !== -1 && separator < file) || args.includes('--exec') || args.includes('-x')) return { reason }
  const passed = separator !== -1 ? args.slice(separator + 1) : program === 'nodemon' ? args.slice(file + 1) : []
  return { reason, instead: ['node', args[file] ?? '', ...passed] }
}

/** `cross-env NODE_ENV=production node server.js`. */
const envSetter: Finder = (program, args, scripts, depth) => {
  const words = args.slice(args.findIndex((arg) => !/^[A-Za-z_]\w*=/.test(arg)))
  const inner = args.every((arg) => /^[A-Za-z_]\w*=/.test(arg)) ? undefined : settle(words, scripts, depth + 1)
  const reason = `${asChild(program)}; variables belong into \`env\``
  return inner === undefined ? { reason } : { reason, instead: inner }
}

/** `dotenv -e .env -- node server.js`. */
const envFileReader: Finder = (program, args, scripts, depth) => {
  const separator = args.indexOf('--')
  const words = separator === -1 ? args.slice(Math.max(0, args.findIndex((arg, index) => !arg.startsWith('-') && !/^(?:-e|-f|-c|run)$/.test(args[index - 1] ?? '') && arg !== 'run'))) : args.slice(separator + 1)
  const inner = words[0] === undefined || words[0].startsWith('-') ? undefined : settle(words, scripts, depth + 1)
  const reason = `${asChild(program)}; a file of variables belongs into \`env_file\``
  return inner === undefined ? { reason } : { reason, instead: inner }
}

/** `sh -c 'node server.js; true'`; with exec as the last step the shell becomes the app. */
const shell: Finder = (program, args, scripts, depth) => {
  const flag = args.findIndex((arg) => /^-[a-z]*c$/.test(arg))
  const text = flag === -1 ? undefined : args[flag + 1]
  if (text === undefined || endsInExec(text)) return undefined
  const direct = resolveScript(text, scripts, depth + 1)
  const reason = `\`${program} -c\` may start the app as its child, which loses the inherited sockets`
  return direct === undefined
    ? { reason, mend: 'put exec before the last command, so that the shell becomes the app: ["sh", "-c", "prepare && exec node server.js"]' }
    : { reason, instead: direct }
}

/** env, nice and their kind become the program that they start. */
const passThrough: Finder = (_program, args, scripts, depth) => {
  const start = args.findIndex((arg) => !arg.startsWith('-') && !/^[A-Za-z_]\w*=/.test(arg) && !/^\d+$/.test(arg))
  return start === -1 ? undefined : findSocketLoss(args.slice(start), scripts, depth + 1)
}

const nest: Finder = (program, args) =>
  args[0] === 'start' ? { reason: asChild(`${program} start`), instead: ['node', 'dist/main.js'] } : undefined

const deno: Finder = (program, args) =>
  args[0] === 'task' || args.includes('--watch') ? { reason: asChild(`${program} ${args[0]}`), mend: 'write command = ["deno", "run", "server.ts"], with the permissions it needs' } : undefined

const appLaunchers: ReadonlyMap<string, Finder> = new Map<string, Finder>([
  ...['npm', 'pnpm', 'yarn', 'yarnpkg', 'corepack', 'npm-run-all', 'run-s', 'run-p'].map((name) => [name, packageManager] as const),
  ...['npx', 'pnpx', 'bunx', 'npm-exec'].map((name) => [name, packageRunner] as const),
  ['bun', bun],
  ...['tsx', 'ts-node', 'ts-node-esm', 'ts-node-dev', 'tsnd', 'swc-node', 'esno', 'esr'].map((name) => [name, typeScriptLauncher] as const),
  ...['nodemon', 'pm2', 'pm2-runtime', 'pm2-docker', 'forever', 'node-dev', 'supervisor'].map((name) => [name, restarter] as const),
  ...['concurrently', 'foreman', 'nf', 'turbo', 'nx', 'lerna', 'wireit'].map((name) => [name, wrapper('start one program per app, such as command = ["node", "server.js"]')] as const),
  ...['cross-env', 'cross-env-shell'].map((name) => [name, envSetter] as const),
  ...['dotenv', 'dotenvx', 'env-cmd', 'dotenv-cli'].map((name) => [name, envFileReader] as const),
  ['nest', nest],
])

const finders: ReadonlyMap<string, Finder> = new Map<string, Finder>([
  ...appLaunchers,
  ['deno', deno],
  ...['node', 'nodejs'].map((name) => [name, node] as const),
  ...['sh', 'bash', 'dash', 'zsh', 'ksh', 'ash', 'fish'].map((name) => [name, shell] as const),
  ...['env', 'nice', 'ionice', 'nohup', 'stdbuf', 'chrt', 'taskset'].map((name) => [name, passThrough] as const),
  ...['fnm', 'volta', 'nvm', 'nodenv', 'asdf'].map((name) => [name, wrapper('start node itself; `install` finds its real path')] as const),
  ...['sudo', 'doas', 'su', 'runuser'].map((name) => [name, wrapper('start the program itself, and name the account in `user`')] as const),
  ...['tini', 'dumb-init', 'catatonit'].map((name) => [name, wrapper('start the program itself, systemd is the init here')] as const),
  ...['timeout', 'setsid', 'daemonize', 'start-stop-daemon', 'screen', 'tmux', 'watchexec', 'entr'].map((name) => [name, wrapper()] as const),
  ...['docker', 'docker-compose', 'podman', 'systemd-run', 'systemctl'].map((name) => [name, notTheApp('has the app run elsewhere, not as this unit, where the inherited sockets do not reach it')] as const),
])

/**
 * Says whether a command loses the inherited sockets, and what to write instead.
 * `scripts` are those of the package.json beside the configuration.
 */
export function findSocketLoss(argv: readonly string[], scripts: Record<string, string> = {}, depth = 0): SocketLoss | undefined {
  const [program = '', ...args] = argv
  if (depth > 5) return undefined
  const name = program.slice(program.lastIndexOf('/') + 1).replace(/\.(?:cmd|exe|js|cjs|mjs)$/, '')
  // A program of the project's own may be called anything: `./bin/watch`, but node_modules/.bin/tsx is tsx.
  if (program.includes('/') && !program.startsWith('/') && !program.includes('node_modules/')) return undefined
  return finders.get(name)?.(name, args, scripts, depth)
}

/** The words of a package script that needs no shell, resolved down to the program that is the app. */
export function resolveScript(text: string, scripts: Record<string, string>, depth = 0): string[] | undefined {
  const words = splitWords(text)
  if (words === undefined) return undefined
  const command = words.slice(words.findIndex((word) => !/^[A-Za-z_]\w*=/.test(word)))
  if (command.length === 0 || words.every((word) => /^[A-Za-z_]\w*=/.test(word))) return undefined
  const start = command[0] === 'exec' ? command.slice(1) : command
  const direct = settle(start, scripts, depth)
  return direct === undefined ? undefined : fromPackage(direct)
}

/** The command itself where it keeps the sockets, else what to write instead of it. */
function settle(argv: string[], scripts: Record<string, string>, depth: number): string[] | undefined {
  if (depth > 5 || argv.length === 0) return undefined
  const loss = findSocketLoss(argv, scripts, depth)
  if (loss === undefined) return argv
  if (loss.instead === undefined) return undefined
  return findSocketLoss(loss.instead, scripts, depth + 1) === undefined ? loss.instead : undefined
}

const systemPrograms = new Set(['node', 'nodejs', 'bun', 'deno', 'sh', 'bash', 'env', 'nice', 'python3', 'python', 'ruby', 'java', 'php'])

/** A script finds node_modules/.bin on its PATH; a unit does not. */
function fromPackage(argv: string[]): string[] {
  const [program = '', ...args] = argv
  return program.includes('/') || systemPrograms.has(program) ? argv : [`./node_modules/.bin/${program}`, ...args]
}

function endsInExec(text: string): boolean {
  const steps = text.split(/;|&&|\|\||\n/).map((step) => step.trim()).filter((step) => step !== '' && !step.startsWith('#'))
  const last = steps.at(-1) ?? ''
  return /^(?:[A-Za-z_]\w*=\S*\s+)*exec\s+(?!-)\S/.test(last) && !/[|&]\s*$|[^|]\|[^|]/.test(last)
}
