/** Splits plain words and quoted strings; undefined where a shell would do more than that. */
export function splitWords(text: string): string[] | undefined {
  const words: string[] = []
  let rest = text.trim()
  while (rest !== '') {
    const match = /^((?:[^\s"'`$\\|&;<>(){}*?#~!]|#(?<=\S#)|'[^']*'|"[^"$`\\]*")+)(?:\s+|$)/.exec(rest)
    if (match?.[1] === undefined) return undefined
    words.push(match[1].replace(/'([^']*)'|"([^"]*)"/g, (_all, single: string | undefined, double: string | undefined) => single ?? double ?? ''))
    rest = rest.slice(match[0].length)
  }
  return words
}
