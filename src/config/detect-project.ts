import { closeSync, constants, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { basename, join } from 'node:path'
import { sanitizeAppName } from './names.js'
import { isTakenVariable } from './env.js'
import { splitWords } from './shell-words.js'
import { findSocketLoss, resolveScript } from './socket-loss.js'

/** What a project's folder tells about how to run it. */
export interface Project {
  app: string
  command: string[]
  /** Set in front of the start script, or NODE_ENV alone. */
  env: Record<string, string>
  port: number
  /** Whether `holdfast` is among the dependencies, so that node can preload it. */
  hasRuntime: boolean
  /** What `[hooks]` may be: how dependencies are installed and the app built, and the script that migrates its database. */
  hooks: { install: string; migrate: string }
  /** Where the command was found, as a sentence's end: `scripts.start of package.json`. */
  commandSource: string
  /** What a person should look at. */
  notes: string[]
}

interface PackageJson {
  name?: unknown
  main?: unknown
  scripts?: unknown
  dependencies?: unknown
  optionalDependencies?: unknown
}

/** Where servers usually lie, the likeliest first. */
const usualEntries = ['server.js', 'server.mjs', 'dist/server.js', 'dist/main.js', 'dist/index.js', 'build/index.js', 'app.js', 'index.js', 'index.mjs', 'src/server.js', 'src/index.js']

/** Looks at package.json and the usual places of a folder; reads alone. */
export function detectProject(folder: string): Project {
  const notes: string[] = []
  const json = readPackage(folder, notes)
  const scripts = takeStrings(json?.scripts)
  const dependencies = new Set([...Object.keys(takeStrings(json?.dependencies)), ...Object.keys(takeStrings(json?.optionalDependencies))])
  const { command, source } = findCommand(folder, json, scripts, dependencies, notes)
  const env = { NODE_ENV: 'production', ...findScriptEnv(scripts['start']) }
  const entry = command.findLast((word) => /\.[cm]?[jt]s$/.test(word))
  if (entry !== undefined && !existsSync(join(folder, entry))) notes.push(`${entry} is not there yet: build the app first, or correct \`command\``)
  const app = (typeof json?.name === 'string' ? sanitizeAppName(json.name) : undefined) ?? sanitizeAppName(basename(folder)) ?? 'app'
  return {
    app,
    command,
    env,
    port: findPort(folder, scripts['start'], entry) ?? 3000,
    hasRuntime: dependencies.has('holdfast'),
    hooks: { install: findInstall(folder, scripts), migrate: findMigrate(scripts) },
    commandSource: source,
    notes,
  }
}

function findCommand(
  folder: string,
  json: PackageJson | undefined,
  scripts: Record<string, string>,
  dependencies: ReadonlySet<string>,
  notes: string[],
): { command: string[]; source: string } {
  if (dependencies.has('next') && !scripts['start']?.includes('server.')) {
    notes.push("Next.js: set output: 'standalone' in next.config, and copy public/ and .next/static into .next/standalone after the build")
    return { command: ['node', '.next/standalone/server.js'], source: "Next.js's standalone server" }
  }
  if (dependencies.has('@nestjs/core')) {
    const production = scripts['start:prod'] === undefined ? undefined : resolveScript(scripts['start:prod'], scripts)
    return { command: production ?? ['node', 'dist/main.js'], source: production === undefined ? 'where Nest compiles to' : 'scripts.start:prod of package.json' }
  }
  const start = scripts['start']
  if (start !== undefined) {
    const command = resolveScript(start, scripts)
    if (command !== undefined && findSocketLoss(command, scripts) === undefined) return { command, source: 'scripts.start of package.json' }
    notes.push(`scripts.start of package.json, \`${start.slice(0, 80).replace(/[\p{Cc}\p{Cf}]/gu, ' ')}\`, cannot be started without a shell: check \`command\``)
  }
  const main = typeof json?.main === 'string' && /^[\w./-]+$/.test(json.main) ? json.main.replace(/^\.\//, '') : undefined
  const entry = [...(main === undefined ? [] : [main]), ...usualEntries].find((file) => !file.startsWith('/') && !file.startsWith('-') && existsSync(join(folder, file)))
  if (entry !== undefined) return { command: ['node', entry], source: entry === main ? 'main of package.json' : `${entry}, which is there` }
  if (start === undefined) notes.push('no start script and no server.js: write the real command into `command`')
  return { command: ['node', 'server.js'], source: 'a guess' }
}

/** `NODE_ENV=production PORT=8080 node server.js`, with cross-env in front or not. */
function findScriptEnv(script: string | undefined): Record<string, string> {
  const words = splitWords(script ?? '') ?? []
  const found: [string, string][] = []
  for (const word of words[0] === 'cross-env' || words[0] === 'env' ? words.slice(1) : words) {
    const match = /^([A-Za-z_]\w*)=([^\p{Cc}]*)$/u.exec(word)
    if (match?.[1] === undefined) break
    if (!isTakenVariable(match[1])) found.push([match[1], match[2] ?? ''])
  }
  return Object.fromEntries(found)
}

/** The command of the package manager whose lock file is there; a build needs the development dependencies too. */
function findInstall(folder: string, scripts: Record<string, string>): string {
  const [manager, install, production] =
    existsSync(join(folder, 'pnpm-lock.yaml')) ? ['pnpm', 'pnpm install --frozen-lockfile', '--prod']
    : existsSync(join(folder, 'yarn.lock')) ? ['yarn', 'yarn install --frozen-lockfile', '--production']
    : ['npm', 'npm ci', '--omit=dev']
  return scripts['build'] === undefined ? `${install} ${production}` : `${install} && ${manager} run build`
}

function findMigrate(scripts: Record<string, string>): string {
  const script = ['migrate', 'db:migrate', 'migrate:deploy', 'migration:run'].find((name) => scripts[name] !== undefined)
  return `npm run ${script ?? 'migrate'}`
}

function findPort(folder: string, script: string | undefined, entry: string | undefined): number | undefined {
  const places: [string, RegExp][] = [
    [script ?? '', /(?:\bPORT=|--port[ =]|\s-p[ =]?)["']?(\d{1,5})\b/],
    [readSmall(join(folder, '.env')) ?? '', /^\s*(?:export\s+)?PORT\s*=\s*["']?(\d{1,5})\b/m],
    [entry === undefined ? '' : readSmall(join(folder, entry)) ?? '', /\bPORT\b\s*(?:\)\s*)?(?:\|\||\?\?)\s*["']?(\d{2,5})\b|\.listen\(\s*(?:\{\s*port:\s*)?(\d{2,5})\b/],
  ]
  for (const [text, pattern] of places) {
    const match = pattern.exec(text)
    const port = Number(match?.[1] ?? match?.[2])
    if (port >= 1 && port <= 65535) return port
  }
  return undefined
}

function readPackage(folder: string, notes: string[]): PackageJson | undefined {
  const text = readSmall(join(folder, 'package.json'))
  if (text === undefined) {
    if (existsSync(join(folder, 'package.json'))) notes.push('package.json could not be read: everything is a guess')
    return undefined
  }
  try {
    const json: unknown = JSON.parse(text.replace(/^\ufeff/, ''))
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json
  } catch {
    // Said below.
  }
  notes.push('package.json is not a JSON object: everything is a guess')
  return undefined
}

function takeStrings(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}

/** A regular file's text up to 1 MiB; undefined where there is none. */
function readSmall(file: string): string | undefined {
  let descriptor: number
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return undefined
  }
  try {
    const status = fstatSync(descriptor)
    if (!status.isFile() || status.size > 1024 * 1024) return undefined
    const buffer = Buffer.alloc(status.size)
    return buffer.toString('utf8', 0, readSync(descriptor, buffer, 0, buffer.length, 0))
  } catch {
    return undefined
  } finally {
    closeSync(descriptor)
  }
}
