import { expect, it } from 'vitest'
import { planText } from '../../../src/cli/deploy-plan-text.js'
import type { DeployPlan } from '../../../src/deploy/operation/deploy-plan.js'
import { stepsOf } from '../../../src/deploy/operation/progress.js'

const plan: DeployPlan = {
  app: 'shop', what: '/srv/shop', version: '1.2.0', commit: null,
  steps: stepsOf.deploy.map((step) => ({ step, action: step === 'migrate' ? 'skip' : 'run', why: step === 'migrate' ? '--no-migrate' : null })),
  hooks: {
    install: { action: 'reuse', command: null, why: 'nothing changed' },
    migrate: { action: 'skip', command: null, why: '--no-migrate' },
    after_drain: { action: 'run', command: 'npm run contract', why: 'once the last older instance has ended' },
  },
  notes: ['`user` is "root" in the release and absent installed'], unitDiff: '--- a\n+++ b\n+User=root\n', live: { generation: 4, release: 'r4' }, cancelsAfterDrain: 'r4',
}

it('tells the steps, the hooks with their reasons, what is proposed, and what would be live', () => {
  const text = planText(plan)
  expect(text.split('\n').slice(0, 11)).toEqual([
    'Would deploy /srv/shop to shop (version 1.2.0)',
    '    fetch     run',
    '    unpack    run',
    '    verify    run',
    '    install   reuse  nothing changed',
    '    migrate   skip   --no-migrate',
    '    seal      run',
    '    record    run',
    '    handover  run',
    '    prune     run',
    '    then, once the last older instance has ended: npm run contract',
  ])
  expect(text).toContain('It would take the place of generation 4, release r4.\nhooks.after_drain of r4 still waits for older instances, and would never run.')
  expect(text).toContain('    `user` is "root" in the release')
  expect(text).toContain('\n+User=root\n')
  expect(planText({ ...plan, live: null })).toContain('Nothing is live yet.')
})
