/** Text of others on one line, such as an app's status, without the control characters that would reach the terminal. */
export const plainText = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim()

// eslint-disable-next-line no-control-regex
const sequences = /\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g

/** A line of somebody else's program, such as a hook: its colours gone, its indentation kept, and nothing that moves the cursor. */
export function lineText(line: string): string {
  const bare = line.replace(sequences, '').replaceAll('\t', '    ')
  const indent = /^ */.exec(bare)?.[0] ?? ''
  return `${indent}${plainText(bare)}`
}

/** As `lineText`, of several lines. */
export const linesText = (text: string): string => text.split('\n').map(lineText).join('\n')
