import { diagnoseApp } from '../deploy/observe/diagnose-app.js'
import { diagnoseMachine, type Finding } from '../deploy/observe/diagnose.js'
import { plainText } from '../deploy/foreign-text.js'
import { readMachine } from '../deploy/install/machine.js'
import { installedApps } from '../release/manifest.js'
import { Systemctl } from '../systemd/systemctl.js'
import { cliPath, placesFor, type GlobalOptions } from './context.js'
import { print } from './output.js'

/** @returns the exit status: 1 with a failure */
export async function doctorCommand(options: GlobalOptions & { json?: boolean }): Promise<number> {
  const places = placesFor(options)
  const systemd = new Systemctl(places.scope)
  const machine = await readMachine(places, systemd, cliPath())
  const findings = diagnoseMachine(machine)
  if (machine.systemd !== undefined) {
    for (const app of installedApps(places).sort()) findings.push(...(await diagnoseApp(places, app, systemd, machine)))
  }
  const failed = findings.some(({ level }) => level === 'fail')
  if (options.json === true) print(JSON.stringify({ ok: !failed, findings: findings.map((finding) => ({ app: null, mend: null, ...finding })) }, null, 2))
  else print(findingsText(findings))
  return failed ? 1 : 0
}

/** A line per finding, in sections: the machine, then each app. Pure. */
export function findingsText(findings: readonly Finding[]): string {
  const lines: string[] = []
  let section: string | undefined
  for (const { app, level, what, mend } of findings) {
    if (app !== section) lines.push('', `${app}:`)
    section = app
    lines.push(`${level.padEnd(4)}  ${plainText(what)}`)
    if (mend !== undefined) lines.push(`      Try: ${mend}`)
  }
  const count = (level: Finding['level']): number => findings.filter((finding) => finding.level === level).length
  return [...lines, '', `${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} failed`].join('\n')
}
