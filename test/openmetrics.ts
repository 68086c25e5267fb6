/** A strict reader of the two text formats of metrics, written from their specifications: throws at what a scraper would refuse, or take for something else. */

export interface Family {
  name: string
  type: string
  samples: { name: string; labels: Record<string, string>; value: number }[]
}

const sampleSuffixes: Record<string, readonly string[]> = { gauge: [''], counter: ['_total'], info: ['_info'], histogram: ['_bucket', '_count', '_sum'] }

/** OpenMetrics 1.0. */
export const readOpenMetrics = (text: string): Family[] => {
  if (!text.endsWith('# EOF\n')) throw new Error('there is no # EOF at the end')
  return readFamilies(text.slice(0, -'# EOF\n'.length), 'openmetrics')
}

/** The Prometheus text format 0.0.4, as node_exporter's textfile collector reads it. */
export const readPrometheus = (text: string): Family[] => readFamilies(text, 'prometheus')

function readFamilies(text: string, format: 'openmetrics' | 'prometheus'): Family[] {
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line does not end')
  const families: Family[] = []
  const seen = new Set<string>()
  for (const line of text.split('\n').slice(0, -1)) {
    const meta = /^# (TYPE|UNIT|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line)
    const last = families.at(-1)
    if (meta !== null) {
      const [, what, name = '', rest = ''] = meta
      if (last?.name !== name) {
        if (families.some((family) => family.name === name)) throw new Error(`${name} comes in two parts`)
        families.push({ name, type: '', samples: [] })
      } else if (last.samples.length > 0) throw new Error(`${line}: behind its samples`)
      const family = families.at(-1) as Family
      if (what === 'TYPE') {
        const types = format === 'openmetrics' ? ['gauge', 'counter', 'histogram', 'info'] : ['gauge', 'counter', 'histogram']
        if (!types.includes(rest) || family.type !== '') throw new Error(`${line}: no such type, or a second one`)
        family.type = rest
      }
      if (what === 'UNIT' && (format === 'prometheus' || !name.endsWith(`_${rest}`))) throw new Error(`${line}: the name does not end in it`)
      continue
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (sample === null || last === undefined || last.type === '') throw new Error(`${JSON.stringify(line)}: no sample of a family`)
    const [, name = '', pairs = '', number = ''] = sample
    const suffixes = format === 'prometheus' && last.type !== 'histogram' ? [''] : (sampleSuffixes[last.type] as readonly string[])
    if (!suffixes.some((suffix) => name === last.name + suffix)) throw new Error(`${name} is none of ${last.name}`)
    const labels = readLabels(pairs)
    const key = `${name} ${JSON.stringify(Object.entries(labels).sort())}`
    if (seen.has(key)) throw new Error(`${key} comes twice`)
    seen.add(key)
    const value = number === '+Inf' ? Infinity : number === 'NaN' ? Number.NaN : Number(number)
    if (number !== 'NaN' && Number.isNaN(value)) throw new Error(`${line}: no number`)
    if (last.type === 'counter' && !(value >= 0)) throw new Error(`${line}: no count`)
    last.samples.push({ name, labels, value })
  }
  for (const family of families) {
    if (format === 'prometheus' && family.type === 'counter' && !family.name.endsWith('_total')) throw new Error(`${family.name} is a counter without _total`)
    if (family.type === 'histogram') checkHistogram(family, format)
  }
  return families
}

function readLabels(pairs: string): Record<string, string> {
  const labels: Record<string, string> = {}
  let rest = pairs
  while (rest !== '') {
    const pair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(?:,(?=.)|$)/.exec(rest)
    if (pair === null) throw new Error(`${rest}: no label`)
    const [whole, label = '', value = ''] = pair
    if (Object.hasOwn(labels, label)) throw new Error(`${label} comes twice`)
    labels[label] = value.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character))
    rest = rest.slice(whole.length)
  }
  return labels
}

function checkHistogram({ name, samples }: Family, format: string): void {
  const groups = new Map<string, Family['samples']>()
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels
    const key = JSON.stringify(labels)
    groups.set(key, [...(groups.get(key) ?? []), sample])
  }
  for (const [labels, group] of groups) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`)
    const bounds = buckets.map((sample) => (sample.labels['le'] === '+Inf' ? Infinity : Number(sample.labels['le'])))
    const isRising = (values: readonly number[]): boolean => values.every((value, i) => i === 0 || value >= (values[i - 1] as number))
    if (!isRising(bounds) || new Set(bounds).size !== bounds.length || bounds.at(-1) !== Infinity) throw new Error(`${name}${labels}: the bounds ${bounds.join(' ')}`)
    if (!isRising(buckets.map(({ value }) => value))) throw new Error(`${name}${labels}: buckets that shrink`)
    if (format === 'openmetrics' && buckets.some(({ labels: { le = '' } }) => !/[.e]|\+Inf/.test(le))) throw new Error(`${name}${labels}: a whole bound without .0`)
    const count = group.find((sample) => sample.name === `${name}_count`)
    const sum = group.find((sample) => sample.name === `${name}_sum`)
    if ((count === undefined) !== (sum === undefined) || (format === 'prometheus' && count === undefined)) throw new Error(`${name}${labels}: a count or a sum is missing`)
    if (count !== undefined && count.value !== buckets.at(-1)?.value) throw new Error(`${name}${labels}: the count is not that of the last bucket`)
  }
}

/** The one sample with these labels, and maybe others. */
export function valueOf(families: readonly Family[], name: string, labels: Record<string, string> = {}): number | undefined {
  const found = families.flatMap(({ samples }) => samples).filter((sample) => sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
  if (found.length > 1) throw new Error(`${found.length} samples of ${name} ${JSON.stringify(labels)}`)
  return found[0]?.value
}
