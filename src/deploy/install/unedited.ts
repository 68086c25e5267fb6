import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../../errors.js'
import type { Manifest } from '../../release/manifest.js'
import type { AppPaths } from '../../release/paths.js'
import type { UnitFile } from '../../units/render.js'
import { diffTexts } from './diff.js'

/**
 * Refuses to go on where somebody edited a unit since it was written.
 * @throws HoldfastError `unit-edited`, with the difference
 */
export function checkUnedited(manifest: Manifest | undefined, paths: AppPaths, rendered: readonly UnitFile[] = []): void {
  for (const { name, text, previous } of manifest?.units ?? []) {
    const file = join(paths.units, name)
    if (!existsSync(file)) continue
    const found = readFileSync(file, 'utf8')
    if ([text, previous, rendered.find((unit) => unit.name === name)?.text].includes(found)) continue
    const difference = diffTexts({ label: `${name} as written`, text }, { label: `${name} as found`, text: found })
    throw new HoldfastError('unit-edited', `${file} was edited since holdfast wrote it:\n${difference.trimEnd()}`, {
      hint: `put the change into a drop-in, which holdfast leaves alone: systemctl edit ${name}; then rm ${file}, and run this again`,
    })
  }
}
