/**
 * The two text formats of metrics. By hand rather than with a client library such as prom-client, which counts in its own
 * process: what is told here was counted by others, and a format is a few lines.
 */

/** Metrics of one name, in the terms of OpenMetrics. */
export interface MetricFamily {
  /** Without the suffix that its type has: `holdfast_deploys`, which becomes `holdfast_deploys_total`. Ends in the unit. */
  name: string
  type: 'gauge' | 'counter' | 'histogram' | 'info'
  /** A base unit. */
  unit?: 'seconds' | 'bytes'
  /** One sentence, on one line. */
  help: string
  samples: readonly Sample[]
}

export type Labels = Readonly<Record<string, string>>

export type Sample =
  | { labels: Labels; value: number }
  /** Of a histogram. `sum`: of all values; absent where it is not known. */
  | { labels: Labels; buckets: readonly Bucket[]; sum?: number }

export interface Bucket {
  /** The upper bound. */
  le: number
  /** How many are in it and in those below. */
  count: number
}

/** OpenMetrics 1.0, "Text format". */
export function formatOpenMetrics(families: readonly MetricFamily[]): string {
  const lines = families.filter(hasSamples).flatMap(({ name, type, unit, help, samples }) => [
    `# TYPE ${name} ${type}`,
    ...(unit === undefined ? [] : [`# UNIT ${name} ${unit}`]),
    `# HELP ${name} ${escapeText(help)}`,
    ...samples.flatMap((sample) => sampleLines(`${name}${suffixes[type]}`, sample, canonicalBound)),
  ])
  return [...lines, '# EOF', ''].join('\n')
}

/**
 * The Prometheus text format 0.0.4, which is all that node_exporter's textfile collector reads: no `info`, no unit, no end
 * mark, types under the name of the samples, and a sum and a count for every histogram.
 */
export function formatPrometheus(families: readonly MetricFamily[]): string {
  const lines = families.filter(hasSamples).flatMap(({ name, type, help, samples }) => {
    const full = `${name}${suffixes[type]}`
    return [
      `# HELP ${full} ${escapeHelp(help)}`,
      `# TYPE ${full} ${type === 'info' ? 'gauge' : type}`,
      // A sum that is left out is read as 0, and averages with it.
      ...samples.flatMap((sample) => sampleLines(full, 'buckets' in sample ? { sum: Number.NaN, ...sample } : sample, formatNumber)),
    ]
  })
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`
}

const suffixes = { gauge: '', counter: '_total', histogram: '', info: '_info' } as const

const hasSamples = ({ samples }: MetricFamily): boolean => samples.length > 0

function sampleLines(name: string, sample: Sample, formatBound: (bound: number) => string): string[] {
  if ('value' in sample) return [line(name, sample.labels, sample.value)]
  const { labels, buckets, sum } = sample
  return [
    ...buckets.map(({ le, count }) => line(`${name}_bucket`, { ...labels, le: formatBound(le) }, count)),
    // OpenMetrics has a count only where there is a sum.
    ...(sum === undefined ? [] : [line(`${name}_count`, labels, buckets.at(-1)?.count ?? 0), line(`${name}_sum`, labels, sum)]),
  ]
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeText(text)}"`)
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${formatNumber(value)}`
}

function formatNumber(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}

/** "Canonical Numbers" of OpenMetrics: a bound is a text that must not change, and a whole one has a `.0`. */
const canonicalBound = (bound: number): string => (Number.isInteger(bound) ? `${bound}.0` : formatNumber(bound))

const escapeHelp = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
const escapeText = (text: string): string => escapeHelp(text).replaceAll('"', '\\"')
