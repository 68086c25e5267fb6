import { existsSync, readFileSync } from 'node:fs'
import { runProgram } from '../../run-program.js'

/** A file outside systemd's own folders that comes with an install. */
export interface SystemFile {
  path: string
  text: string
}

/** What `journalctl -x` shows; one for all apps. systemd reads catalogs from no other folder that is the admin's. */
export function catalogFile(): SystemFile {
  return {
    path: '/usr/local/lib/systemd/catalog/holdfast.catalog',
    text: readFileSync(new URL('../../../units/holdfast.catalog', import.meta.url), 'utf8'),
  }
}

export const isCatalog = (path: string): boolean => path.endsWith('.catalog')

/** The journal's explanations are kept in one database of the machine. */
export async function updateCatalog(): Promise<void> {
  await runProgram('journalctl', ['--update-catalog'])
}

/**
 * needrestart(1) restarts services whose libraries were upgraded, an instance by stop, drain and start:
 * clients would wait. Told to leave instances alone, where it is installed.
 */
export function needrestartFile(app: string): SystemFile[] {
  if (!existsSync('/etc/needrestart/conf.d')) return []
  return [{ path: `/etc/needrestart/conf.d/holdfast-${app}.conf`, text: needrestartText(app) }]
}

/** Perl, which needrestart evaluates. */
export function needrestartText(app: string): string {
  return `# Instances of ${app} are replaced without a gap by: systemctl restart ${app}\n$nrconf{override_rc}->{qr(^${app}\\@\\d+\\.\\d+\\.service$)} = 0;\n`
}
