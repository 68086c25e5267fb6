// @ts-check
/** What the demo prints, as pure functions from figures to text; 80 columns wide. */

/** @typedef {import('../test/traffic/ledger.js').Span} Span */
/** @typedef {import('../test/traffic/ledger.js').Timeline} Timeline */
/** @typedef {import('../test/traffic/ledger.js').Latency} Latency */
/** @typedef {import('../test/traffic/ledger.js').RequestRecord} RequestRecord */
/** @typedef {(style: 'bold' | 'dim' | 'red' | 'green', text: string) => string} Paint */

export const width = 80
const labelWidth = 10
const blocks = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
const styles = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39] }

/**
 * @param {boolean} colored
 * @returns {Paint}
 */
export function makePaint(colored) {
  return (style, text) => (colored ? `\u001B[${styles[style][0]}m${text}\u001B[${styles[style][1]}m` : text)
}

/**
 * How long a column of the chart is, so that the whole run fits: a multiple of 100 ms.
 *
 * @param {number} totalMs
 */
export function chooseBucketMs(totalMs) {
  return Math.max(100, Math.ceil(totalMs / (width - labelWidth) / 100) * 100)
}

/**
 * Requests by release over time. A row is a release, a column is a stretch of time, a block's height is its share of
 * the busiest column of all.
 *
 * @param {Timeline} timeline
 * @param {string[]} releases in the order of the rows; one that answered nothing has a row too
 * @param {(Span & { ok: boolean })[]} handovers
 * @param {Paint} paint
 * @returns {string[]} lines
 */
export function renderChart(timeline, releases, handovers, paint) {
  const rows = releases.map((release) => ({ label: release, counts: timeline.releases[release] ?? [] }))
  const tallest = Math.max(1, ...rows.flatMap((row) => row.counts))
  const lines = rows.map(({ label, counts }) => {
    const total = counts.reduce((sum, count) => sum + count, 0)
    const bars = Array.from({ length: timeline.buckets }, (_, bucket) => block(counts[bucket] ?? 0, tallest)).join('')
    return pad(label, labelWidth) + (total === 0 ? paint('dim', 'not one request') : bars.trimEnd())
  })
  if (timeline.failures.some((count) => count > 0)) {
    const marks = timeline.failures.map((count) => (count > 0 ? '✗' : ' ')).join('')
    lines.push(paint('red', pad('failed', labelWidth) + marks.trimEnd()))
  }
  lines.push(pad('handovers', labelWidth) + markSpans(handovers, timeline).trimEnd())
  lines.push(paint('dim', pad('', labelWidth) + renderAxis(timeline)))
  return lines
}

/** @param {number} count @param {number} tallest */
function block(count, tallest) {
  if (count === 0) return ' '
  return blocks[Math.min(7, Math.max(0, Math.ceil((count / tallest) * 8) - 1))] ?? '█'
}

/**
 * `├2─┤` where a handover began and ended; `├✗─┤` where it failed.
 *
 * @param {(Span & { ok: boolean })[]} spans
 * @param {{ buckets: number, bucketMs: number }} timeline
 */
function markSpans(spans, { buckets, bucketMs }) {
  const row = Array.from({ length: buckets }, () => ' ')
  for (const { fromMs, toMs, label, ok } of spans) {
    const from = Math.min(buckets - 1, Math.floor(fromMs / bucketMs))
    const to = Math.min(buckets - 1, Math.floor(toMs / bucketMs))
    row.fill('─', from, to)
    row[from] = '├'
    if (to > from) row[to] = '┤'
    const name = ok ? shortName(label) : '✗'
    if (to - from > name.length) for (const [index, letter] of [...name].entries()) row[from + 1 + index] = letter
  }
  return row.join('')
}

/** @param {string} release `2.0.0` is called 2 where room is short */
function shortName(release) {
  return release.replace(/(\.0)+$/, '')
}

/** @param {{ buckets: number, bucketMs: number }} timeline */
function renderAxis({ buckets, bucketMs }) {
  const step = [10, 20, 30, 60].find((seconds) => (seconds * 1_000) / bucketMs >= '|100 s '.length) ?? 300
  let axis = ''
  for (let seconds = 0; ; seconds += step) {
    const column = Math.round((seconds * 1_000) / bucketMs)
    const tick = `|${seconds} s`
    if (column + tick.length > Math.max(buckets, tick.length)) return axis
    axis = axis.padEnd(column) + tick
  }
}

/**
 * @param {[string, Latency][]} rows
 * @param {Paint} paint
 */
export function renderLatency(rows, paint) {
  const cells = rows.map(([label, { requests, medianMs, p99Ms, maxMs }]) => [
    label,
    formatCount(requests),
    formatMs(medianMs),
    formatMs(p99Ms),
    formatMs(maxMs),
  ])
  return renderTable(['', 'requests', 'median', 'p99', 'max'], cells, [28, 11, 11, 11, 11], paint)
}

/** The columns of the table of failures: a heading, and the outcomes that it counts. @type {[string, RegExp][]} */
const outcomes = [
  ['refused', /^refused$/],
  ['reset', /^reset$/],
  ['hang-up', /^(hang-up|early-close)$/],
  ['timeout', /^(timeout|stuck)$/],
  ['cut', /^cut-body$/],
  ['status', /^bad-status-/],
  ['wrong', /^bad-(body|protocol|close-\d+)$/],
  ['other', /./],
]

/** What people call the kinds of clients. @type {Record<string, string>} */
const kindNames = {
  keepAlive: 'keep-alive',
  fetch: 'fetch',
  connect: 'new conn.',
  post: 'POST',
  download: 'download',
  upload: 'upload',
  pipeline: 'pipelined',
  undici: 'undici',
  curl: 'curl',
  https: 'HTTPS',
  h2c: 'h2c',
  h2: 'HTTP/2 TLS',
  webSocket: 'WebSocket',
  eventSource: 'events',
  idle: 'idle conn.',
  rude: 'rude',
}

/**
 * Each failed request is in exactly one column, so that the sums can be checked by eye.
 *
 * @param {Record<string, { requests: number }>} byKind
 * @param {RequestRecord[]} failures
 * @param {Paint} paint
 */
export function renderFailures(byKind, failures, paint) {
  const column = (/** @type {RequestRecord} */ { outcome }) => outcomes.findIndex(([, pattern]) => pattern.test(outcome))
  const row = (/** @type {string} */ label, /** @type {number} */ requests, /** @type {RequestRecord[]} */ failed) => [
    label,
    formatCount(requests),
    ...outcomes.map((_, index) => formatCount(failed.filter((failure) => column(failure) === index).length)),
  ]
  const rank = (/** @type {string} */ kind) => (Object.keys(kindNames).indexOf(kind) + 100) % 100
  const kinds = Object.entries(byKind).sort(([a], [b]) => rank(a) - rank(b))
  const cells = kinds.map(([kind, { requests }]) =>
    row(kindNames[kind] ?? kind, requests, failures.filter((failure) => failure.kind === kind)),
  )
  const total = Object.values(byKind).reduce((sum, { requests }) => sum + requests, 0)
  cells.push(row('all', total, failures))
  return renderTable(['', 'requests', ...outcomes.map(([heading]) => heading)], cells, [11, 9, 8, 7, 8, 8, 6, 7, 7, 7], paint)
}

/**
 * The first few failed requests in words, for whoever must find out why.
 *
 * @param {RequestRecord[]} failures
 */
export function listFailures(failures) {
  return failures.slice(0, 5).flatMap(({ kind, startMs, durationMs, release, outcome, detail }) => {
    const times = `sent at ${(startMs / 1_000).toFixed(3)} s, failed after ${formatMs(durationMs)}`
    const line = `${kindNames[kind] ?? kind}, ${times}: ${outcome}, answered by ${release || 'nobody'}${detail ? ` (${detail})` : ''}`
    return foldLine(line, width, '      ')
  })
}

/**
 * @param {string[]} headings
 * @param {string[][]} rows
 * @param {number[]} widths the first column is set left, the others right
 * @param {Paint} paint
 */
function renderTable(headings, rows, widths, paint) {
  const line = (/** @type {string[]} */ cells) =>
    cells.map((cell, index) => (index === 0 ? pad(cell, widths[0] ?? 0) : cell.padStart(widths[index] ?? 0))).join('').trimEnd()
  return [paint('dim', line(headings)), ...rows.map((row) => line(row))]
}

/**
 * Lines of the journal, folded instead of cut. journalctl sets the further lines of a message below its first one, at
 * column 30 or so: here they move to the left, for there is little room.
 *
 * @param {string} text the output of `journalctl -o short`
 */
export function foldJournal(text) {
  const indent = '      '
  let prefix = 0
  return text.trimEnd().split('\n').flatMap((line) => {
    if (!line.startsWith(' ')) prefix = line.indexOf(': ') + 2
    else if (line.slice(0, prefix).trim() === '') return foldLine(indent + line.slice(prefix), width, `${indent}  `)
    return foldLine(line, width, indent)
  })
}

/** @param {string} line @param {number} columns @param {string} indent */
function foldLine(line, columns, indent) {
  const lines = []
  let rest = line
  while (rest.length > columns) {
    const space = rest.lastIndexOf(' ', columns)
    const cut = space > columns / 2 ? space : columns
    lines.push(rest.slice(0, cut))
    rest = indent + rest.slice(cut).trimStart()
  }
  return [...lines, rest]
}

/** @param {number} count @returns {string} with thin groups: 12 345 */
export function formatCount(count) {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ' ')
}

/** @param {number} ms */
export function formatMs(ms) {
  if (Number.isNaN(ms)) return '-'
  return ms < 100 ? `${ms.toFixed(1)} ms` : ms < 10_000 ? `${formatCount(Math.round(ms))} ms` : `${(ms / 1_000).toFixed(1)} s`
}

/** @param {string} text @param {number} columns at least one space at the end */
function pad(text, columns) {
  return text.length < columns ? text.padEnd(columns) : `${text.slice(0, columns - 2)}… `
}
