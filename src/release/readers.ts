/**
 * Who else may read a sealed file or folder, as far as its owner could before: the group of the app's own account; or, for
 * a dynamic user, which has none that would outlive it, everyone. Neither: the owner alone, who runs the app then.
 */
export interface Readers {
  group?: number
  everyone?: boolean
}

/** Read and execute as before, write for nobody, no set-user-ID, set-group-ID or sticky bit; the readers get what the owner had. */
export function sealedMode(mode: number, { group, everyone = false }: Readers): number {
  const sealed = mode & 0o555
  const owners = (sealed >> 6) & 0o5
  return sealed | (group === undefined ? 0 : owners << 3) | (everyone ? (owners << 3) | owners : 0)
}
