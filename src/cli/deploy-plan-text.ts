import type { DeployPlan } from '../deploy/operation/deploy-plan.js'
import { lineText, plainText } from '../deploy/foreign-text.js'
import { alignRows } from './words.js'

/** What a deploy would do, for people. Pure. */
export function planText(plan: DeployPlan): string {
  const { app, what, version, commit, live } = plan
  const named = [...(version === null ? [] : [`version ${version}`]), ...(commit === null ? [] : [`commit ${commit.slice(0, 12)}`])].join(', ')
  const rows = plan.steps.map(({ step, action, why }) => {
    const hook = step === 'install' || step === 'migrate' ? plan.hooks[step] : undefined
    const detail = [hook?.command ?? undefined, hook?.why ?? why ?? undefined].filter((part) => part !== undefined).map(plainText)
    return [`    ${step}`, hook?.action ?? action, detail.join('   # ')]
  })
  const { after_drain: after } = plan.hooks
  return [
    `Would deploy ${plainText(what)} to ${app}${named === '' ? '' : ` (${named})`}`,
    ...alignRows(rows),
    ...(after.action === 'run' ? [`    then, ${after.why}: ${plainText(after.command ?? '')}`] : []),
    '',
    live === null ? 'Nothing is live yet.' : `It would take the place of generation ${live.generation}, release ${live.release}.`,
    ...(plan.cancelsAfterDrain === null ? [] : [`hooks.after_drain of ${plan.cancelsAfterDrain} still waits for older instances, and would never run.`]),
    ...(plan.notes.length === 0 ? [] : ['', 'Proposed by the release and not in force:', ...plan.notes.map((note) => `    ${lineText(note)}`)]),
    ...(plan.unitDiff === '' ? [] : ['', ...plan.unitDiff.trimEnd().split('\n').map(lineText)]),
    '',
    'Nothing was changed.',
  ].join('\n')
}
