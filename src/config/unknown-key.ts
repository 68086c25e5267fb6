import type { KeyPath } from './source-lines.js'
import { escapeControl } from './quote.js'

/** Words people know from elsewhere, and what they are called here. */
const otherNames: Record<string, string> = {
  name: 'app', cmd: 'command', exec: 'command', start_command: 'command', script: 'command', main: 'command',
  environment: 'env', envfile: 'env_file', environment_file: 'env_file',
  workers: 'processes', instances: 'processes', replicas: 'processes', scale: 'processes',
  cwd: 'directory', dir: 'directory', path: 'directory', root: 'directory',
  port: '[listen] http', ports: '[listen] http', host: '[listen] http', socket: '[listen] http', listeners: '[listen] http',
  timeout: '[start] timeout', memory: '[limits] memory', tasks: '[limits] tasks', settle: '[start] settle',
  group: 'user', memory_limit: '[limits] memory',
  healthcheck: '[health] path', health_check: '[health] path', rolling: 'strategy',
}

/** Keys of the top level and of each table; kept equal to the schema by a test. */
export const knownKeys: Record<string, readonly string[]> = {
  '': [
    'app', 'description', 'command', 'user', 'directory', 'snapshot', 'processes', 'env', 'env_file', 'data', 'watchdog',
    'strategy', 'listen', 'start', 'drain', 'limits', 'hooks', 'source', 'health', 'bake', 'preview', 'admission', 'notify', 'sandbox',
  ],
  start: ['timeout', 'settle', 'standby'],
  drain: ['timeout', 'shutdown_timeout', 'hang_timeout', 'reconnect_window', 'reconnect_rate'],
  limits: ['memory', 'tasks'],
  hooks: ['install', 'migrate', 'after_drain', 'timeout'],
  source: ['url', 'checksum', 'version_file', 'max_size', 'max_files'],
  health: ['path', 'status', 'host', 'tls', 'command', 'interval', 'timeout', 'successes', 'deadline'],
  bake: ['for', 'max_errors', 'max_slowdown', 'min_requests'],
  preview: ['address', 'expire'],
  admission: ['memory', 'reserve', 'max_draining', 'max_drain_age'],
  notify: ['command', 'timeout'],
  sandbox: [
    'write_paths', 'home', 'devices', 'processes', 'namespaces', 'setuid', 'capabilities', 'address_families', 'system_calls',
  ],
}

/** Says why `key` of the table at `path` is not known, and what was probably meant. */
export function explainUnknownKey(path: KeyPath, key: string, siblings: readonly string[]): string {
  const table = path.join('.')
  const shown = `unknown key \`${escapeControl(key.slice(0, 40))}\``
  const close = findClosest(key, siblings)
  if (close !== undefined) return `${shown}: did you mean \`${close}\`?`
  if (table !== '' && knownKeys['']?.includes(key)) {
    return `${shown}: it belongs to the top of the file; move it above the first [table]`
  }
  const home = Object.keys(knownKeys).find((name) => name !== '' && name !== table && knownKeys[name]?.includes(key))
  if (home !== undefined && !Object.hasOwn(otherNames, key)) return `${shown}: it belongs to [${home}]`
  const other = Object.hasOwn(otherNames, key) ? otherNames[key] : undefined
  if (table === '' && other !== undefined) return `${shown}: did you mean \`${other}\`?`
  return `${shown}: remove it; known ${table === '' ? 'here' : `in [${table}]`} are ${siblings.join(', ')}`
}

/** The candidate that is a slip of the finger away from `word`, if any. */
export function findClosest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > 40) return undefined
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = measureEdits(word.toLowerCase().replaceAll('-', '_'), candidate)
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

/** Levenshtein's distance, where two neighbours swapped count as one edit. */
function measureEdits(from: string, to: string): number {
  const rows: number[][] = Array.from({ length: from.length + 1 }, (_, i) => [i])
  const cell = (i: number, j: number): number => rows[i]?.[j] ?? Infinity
  for (let j = 1; j <= to.length; j++) rows[0]?.push(j)
  for (let i = 1; i <= from.length; i++) {
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1]
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      const cost = Math.min(cell(i - 1, j) + 1, cell(i, j - 1) + 1, cell(i - 1, j - 1) + (same ? 0 : 1))
      rows[i]?.push(swapped ? Math.min(cost, cell(i - 2, j - 2) + 1) : cost)
    }
  }
  return cell(from.length, to.length)
}
