import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A unified diff by diff(1); empty where the texts are equal. */
export function diffTexts(before: { label: string; text: string }, after: { label: string; text: string }): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-diff-'))
  try {
    const files = [before, after].map(({ text }, i) => {
      const file = join(folder, String(i))
      writeFileSync(file, text)
      return file
    })
    const { stdout } = spawnSync('diff', ['-u', '--label', before.label, '--label', after.label, ...files], { encoding: 'utf8' })
    return stdout
  } finally {
    rmSync(folder, { recursive: true })
  }
}
