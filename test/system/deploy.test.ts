/** `holdfast deploy` from end to end: folders and archives, hooks, who may deploy when, and deploys that are killed. */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ask, broken, makeShop, recorded, type Shop } from './apps.js'
import { activeState, expectSuccess, holdfast, journal, mustRun, root, run, show, systemctl, waitFor } from './harness.js'

const cli = join(root, 'dist/cli/main.js')

const hooks = `
[hooks]
install = "echo installing; echo built > built.txt; id -u > owner.txt"
migrate = "echo migrating; cat built.txt; env | grep ^HOLDFAST_RELEASE="
`

interface Event {
  type: string
  step?: string
  state?: string
  note?: string
  text?: string
  line?: string
  outcome?: string
  release?: string
  generation?: number
  failure?: { step: string; message: string; log: string[]; hint: string }
}

async function installed(prefix: string, config = hooks): Promise<Shop> {
  const shop = await makeShop(prefix, { config: `${config}\n[start]\nsettle = "200ms"` })
  expectSuccess(await holdfast('install', shop.config))
  return shop
}

/** Deploys with `--json`. */
async function deploy(shop: Shop, ...words: string[]): Promise<{ status: number; events: Event[]; stderr: string }> {
  const { status, stdout, stderr } = await holdfast('deploy', shop.name, ...words, '--json')
  return { status, stderr, events: stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Event) }
}

const steps = (events: Event[]): Record<string, string | undefined> =>
  Object.fromEntries(events.filter(({ type, state }) => type === 'step' && state !== 'began').map(({ step, state }) => [step, state]))
const outputOf = (events: Event[], step: string): string[] => events.filter((event) => event.type === 'output' && event.step === step).map(({ line }) => line as string)
const endOf = (events: Event[]): Event => events.at(-1) as Event

async function archive(shop: Shop, name = 'release.tar.gz'): Promise<string> {
  const file = `/srv/${shop.name}-${name}`
  onTestFinished(() => rm(file, { force: true }))
  await mustRun('tar', ['-czf', file, '-C', shop.folder, '.'])
  return file
}

const history = async (shop: Shop): Promise<Record<string, unknown>[]> =>
  (await readFile(`/var/lib/holdfast/${shop.name}/history.jsonl`, 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
const leftovers = (shop: Shop): string[] => {
  const state = `/var/lib/holdfast/${shop.name}`
  return [...(existsSync(`${state}/staging`) ? readdirSync(`${state}/staging`) : []), ...readdirSync(state).filter((name) => name === 'deploy.json')]
}
const releases = (shop: Shop): string[] => readdirSync(`/var/lib/holdfast/${shop.name}/releases`).filter((name) => !name.endsWith('.json'))

/** A migration that waits for a file, and says that it has begun. */
function gatedMigration(shop: { name: string }): { toml: string; open(): Promise<void> } {
  const gate = `/srv/${shop.name}-gate`
  return { toml: `[hooks]\nmigrate = "echo waiting; until [ -e ${gate} ]; do sleep 0.1; done"\n`, open: () => writeFile(gate, '') }
}

async function gated(prefix: string): Promise<Shop & { open(): Promise<void> }> {
  const shop = await makeShop(prefix, { config: '[start]\nsettle = "200ms"' })
  const migration = gatedMigration(shop)
  onTestFinished(() => rm(`/srv/${shop.name}-gate`, { force: true }))
  const config = await readFile(shop.config, 'utf8')
  await writeFile(shop.config, `${config}\n${migration.toml}`)
  expectSuccess(await holdfast('install', shop.config))
  return { ...shop, open: migration.open }
}

const atStep = (shop: Shop, step: string): Promise<boolean> =>
  waitFor(`the deploy is at ${step}`, async () => (JSON.parse(await readFile(`/var/lib/holdfast/${shop.name}/deploy.json`, 'utf8')) as { step: string }).step === step)

describe('a deploy', () => {
  it('of a folder runs its hooks in the release and as the app’s user, seals it and goes live', async () => {
    const shop = await installed('dfolder')
    await shop.release('2')
    const { status, events, stderr } = await deploy(shop, shop.folder)
    expect(status, JSON.stringify(events) + stderr).toBe(0)
    expect(steps(events)).toEqual({ fetch: 'done', unpack: 'done', verify: 'done', install: 'done', migrate: 'done', seal: 'done', record: 'done', handover: 'done', prune: 'done' })
    const end = endOf(events)
    expect(end).toMatchObject({ type: 'end', outcome: 'live', generation: 2, status: 0 })
    expect(outputOf(events, 'install')).toContain('installing')
    expect(outputOf(events, 'migrate')).toEqual(['migrating', 'built', `HOLDFAST_RELEASE=${end.release}`])
    expect(await ask(shop)).toMatchObject({ release: '2', generation: '2' })
    expect((await recorded(shop)).live).toMatchObject({ generation: 2, release: end.release })

    const folder = `/var/lib/holdfast/${shop.name}/releases/${end.release}`
    expect((await mustRun('stat', ['-c', '%u %a', join(folder, 'built.txt')])).trim()).toBe('0 444')
    expect((await readFile(join(folder, 'owner.txt'), 'utf8')).trim()).not.toBe('0')
    expect(leftovers(shop)).toEqual([])
    expect((await history(shop)).at(-1)).toMatchObject({ kind: 'deploy', outcome: 'live', release: end.release, generation: 2 })
    const told = await journal(shop.name)
    expect(told).toContain(`deploys ${shop.folder}.`)
    expect(told).toMatch(/holdfast\[\d+\]: migrate +done/)
  })

  it('of an archive, by a file and by standard input, is the same', async () => {
    const shop = await installed('darchive')
    await shop.release('2')
    const file = await archive(shop)
    const first = await deploy(shop, file)
    expect(first.status, JSON.stringify(first.events) + first.stderr).toBe(0)
    expect((await ask(shop)).release).toBe('2')
    await shop.release('3')
    await archive(shop)
    const piped = await run('sh', ['-c', `exec ${process.execPath} ${cli} deploy ${shop.name} - --no-install --no-migrate < ${file}`])
    expect(piped.status, piped.stdout + piped.stderr).toBe(0)
    expect(piped.stdout).toMatch(/install +skipped +--no-install/)
    expect((await ask(shop)).release).toBe('3')
    expect(leftovers(shop)).toEqual([])
  })

  it('that fails leaves what was live, says where and why, and ends with 1', async () => {
    const shop = await installed('dfail', '[hooks]\nmigrate = "echo no such table: orders; exit 3"\n')
    const hook = await holdfast('deploy', shop.name, shop.folder)
    expect(hook.status).toBe(1)
    expect(hook.stderr).toMatch(/^Error: the deploy of \S+ failed at step migrate: hooks.migrate .*Generation 1, release \S+, serves on\.\n {4}no such table: orders\nTry: .*holdfast deploy/)
    expect((await history(shop)).at(-1)).toMatchObject({ kind: 'deploy', outcome: 'failed', step: 'migrate' })

    await shop.release('bad', broken['crashes at its start'])
    const start = await holdfast('deploy', shop.name, shop.folder, '--no-migrate')
    expect(start.status).toBe(1)
    expect(start.stderr).toContain('failed at step handover')
    expect(start.stderr).toContain('no such module: stripe')
    expect((await ask(shop)).release).toBe('1')
    expect(await recorded(shop)).toMatchObject({ live: { generation: 1 }, wanted: (await recorded(shop)).live?.release })

    await writeFile(`/srv/${shop.name}-cut.tar.gz`, (await readFile(await archive(shop))).subarray(0, 500))
    onTestFinished(() => rm(`/srv/${shop.name}-cut.tar.gz`))
    const cut = await deploy(shop, `/srv/${shop.name}-cut.tar.gz`)
    expect(cut.status).toBe(1)
    expect(endOf(cut.events).failure?.step).toBe('unpack')
    expect(leftovers(shop)).toEqual([])
  })

  it('is refused with 2 before anything for what cannot be', async () => {
    const shop = await installed('drefused')
    for (const words of [['/no/such'], ['/dev/null'], [shop.folder, '--sha256', 'a'.repeat(64)], ['https://example.com/x.tar.gz'], [shop.folder, '--migrate-only', '--no-migrate']]) {
      const { status, stderr } = await deploy(shop, ...words)
      expect(stderr).toMatch(/^Error: .+\nTry: /)
      expect(status).toBe(2)
    }
    expect((await run('sh', ['-c', `${process.execPath} ${cli} deploy ${shop.name} - < /dev/null`])).stderr).toContain('standard input was empty')
    expect(leftovers(shop)).toEqual([])
    expect(await history(shop)).toHaveLength(1)
  })

  it('with --migrate-only runs the hooks and changes nothing of what is live', async () => {
    const shop = await installed('donly')
    await shop.release('2')
    const { status, events } = await deploy(shop, shop.folder, '--migrate-only')
    expect([status, endOf(events).outcome]).toEqual([0, 'migrated'])
    expect(steps(events)).toMatchObject({ install: 'done', migrate: 'done', seal: 'skipped', handover: 'skipped' })
    expect((await ask(shop)).release).toBe('1')
    expect(releases(shop)).toHaveLength(1)
    expect((await history(shop)).at(-1)).toMatchObject({ outcome: 'migrated' })
  })

  it('with --dry-run shows its plan and changes nothing', async () => {
    const shop = await installed('ddry')
    await shop.write({ 'holdfast.toml': (await readFile(shop.config, 'utf8')).replace(/http = .*/, 'http = "127.0.0.1:1"').replace('id -u', 'id') })
    const before = await mustRun('find', [`/var/lib/holdfast/${shop.name}`, '-type', 'f'])
    const text = await holdfast('deploy', shop.name, '--dry-run')
    expectSuccess(text)
    expect(text.stdout).toMatch(/install +run +echo installing; .*id > owner.txt/)
    expect(text.stdout).toContain('It would take the place of generation 1')
    expect(text.stdout).toContain('-ListenStream=')
    expect(text.stdout).toContain('+ListenStream=127.0.0.1:1')
    const plan = JSON.parse((await holdfast('deploy', shop.name, '--dry-run', '--json')).stdout) as Record<string, unknown>
    expect(plan).toMatchObject({ app: shop.name, what: shop.folder, live: { generation: 1 }, hooks: { install: { action: 'run' }, after_drain: { action: 'skip' } } })
    expect((plan['notes'] as string[]).join('\n')).toContain('holdfast install')
    expect(await mustRun('find', [`/var/lib/holdfast/${shop.name}`, '-type', 'f'])).toBe(before)
  })
})

describe('while somebody deploys', () => {
  it('another is told who and refused, or waits; the first survives its client', async () => {
    const shop = await gated('dbusy')
    await shop.release('2')
    const client = spawn(process.execPath, [cli, 'deploy', shop.name], { stdio: 'pipe', env: { ...process.env, SUDO_USER: 'anna' } })
    let said = ''
    client.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
    await waitFor('the hook runs', () => said.includes('waiting'))

    const second = await holdfast('deploy', shop.name)
    expect(second.status).toBe(2)
    expect(second.stderr).toMatch(new RegExp(`^Error: anna deploys ${shop.folder} to ${shop.name} since \\d\\d:\\d\\d \\(\\d+ s\\), now at step migrate\nTry: add --wait`))
    const ended = new Promise((resolve) => client.on('exit', (code) => resolve(code)))
    client.kill('SIGINT')
    expect(await ended).toBe(130)
    expect(said).toContain(`It goes on. To see how: holdfast logs ${shop.name} -f`)
    expect(await activeState(`${shop.name}-deploy.service`)).toBe('active')

    const waiters = ['3', '4'].map(() => holdfast('deploy', shop.name, '--wait'))
    await waitFor('both wait', () => leftovers(shop).length === 4)
    await shop.open()
    for (const result of await Promise.all(waiters)) {
      expectSuccess(result)
      expect(result.stdout).toContain('waiting: anna deploys')
    }
    expect((await recorded(shop)).live?.generation).toBe(4)
    expect(leftovers(shop)).toEqual([])
  })
})

describe('a deploy that is killed in a hook', () => {
  it('says so, and the next one removes what it left', async () => {
    const shop = await gated('dkill')
    await shop.release('2')
    const client = holdfast('deploy', shop.name)
    await atStep(shop, 'migrate')
    await waitFor('the hook runs', async () => (await activeState(`${shop.name}-hook.service`)) === 'activating')
    await systemctl('kill', '--signal=SIGKILL', `${shop.name}-deploy.service`)
    const killed = await client
    expect(killed.status).toBe(1)
    expect(killed.stderr).toMatch(/failed at step migrate: the deploy was killed at step migrate\. Generation 1, release \S+, serves on\./)
    expect(killed.stderr).toContain(`Try: holdfast deploy ${shop.name} ${shop.folder}`)
    expect(leftovers(shop)).toHaveLength(2)
    await waitFor('the hook ends with it', async () => (await activeState(`${shop.name}-hook.service`)) !== 'activating')

    await shop.open()
    const next = await deploy(shop)
    expect(next.status, JSON.stringify(next.events)).toBe(0)
    expect(next.events.find(({ type, text }) => type === 'note' && text?.includes('was cut off at step migrate'))).toBeDefined()
    expect((await ask(shop)).release).toBe('2')
    expect(leftovers(shop)).toEqual([])
    expect((await history(shop)).map(({ outcome, step }) => [outcome, step])).toEqual([['live', undefined], ['interrupted', 'migrate'], ['live', undefined]])
  })

  it('by systemctl stop, ends its hook and cleans up itself', async () => {
    const shop = await gated('dstop')
    const client = deploy(shop)
    await waitFor('the hook runs', async () => (await activeState(`${shop.name}-hook.service`)) === 'activating')
    expectSuccess(await systemctl('stop', `${shop.name}-deploy.service`))
    const { status, events } = await client
    expect(status).toBe(1)
    expect(endOf(events).failure?.message).toContain('was interrupted by SIGTERM')
    expect(await show(`${shop.name}-hook.service`, 'ActiveState')).toEqual({ ActiveState: 'inactive' })
    expect(leftovers(shop)).toEqual([])
    expect((await history(shop)).at(-1)).toMatchObject({ outcome: 'interrupted', step: 'migrate' })
  })
})

describe('a deploy that is killed in its handover', () => {
  it('goes live all the same, and the next one knows', async () => {
    const shop = await installed('dhand', '')
    await shop.release('2', { before: 'await new Promise((resolve) => setTimeout(resolve, 2_500))' })
    const client = holdfast('deploy', shop.name)
    await atStep(shop, 'handover')
    await waitFor('the new generation starts', async () => (await activeState(`${shop.name}@2.1.service`)) === 'activating')
    await systemctl('kill', '--signal=SIGKILL', `${shop.name}-deploy.service`)
    const killed = await client
    expect(killed.status).toBe(1)
    expect(killed.stderr).toContain('the deploy was killed at step handover. The handover that it ordered goes on without it.')

    await shop.release('3')
    const next = await deploy(shop)
    expect(next.status, JSON.stringify(next.events)).toBe(0)
    const said = next.events.flatMap(({ type, text }) => (type === 'note' ? [text as string] : [])).join('\n')
    expect(said).toContain('still goes on: waiting for its end')
    expect(said).toMatch(/was cut off at step handover: its release \S+ is live/)
    expect((await history(shop)).map(({ outcome, generation }) => [outcome, generation])).toEqual([['live', 1], ['live', 2], ['live', 3]])
    expect((await ask(shop)).release).toBe('3')
    expect(leftovers(shop)).toEqual([])
  })
})

/** A stand-in for ssh(1) to this machine, where `holdfast` is on the PATH. */
async function makeSsh(shop: Shop): Promise<string> {
  const ssh = `/srv/${shop.name}-ssh`
  // What sshd does with the command: the login shell gets it as one text.
  await writeFile(ssh, `#!/bin/sh\nfor command; do :; done\nSSH_CONNECTION='192.0.2.7 1 192.0.2.8 22' exec sh -c "$command"\n`, { mode: 0o755 })
  const bin = '/usr/local/bin/holdfast'
  await writeFile(bin, `#!/bin/sh\nexec ${process.execPath} ${cli} "$@"\n`, { mode: 0o755 })
  onTestFinished(() => Promise.all([rm(ssh), rm(bin)]).then(() => {}))
  return ssh
}

describe('a deploy from another machine', () => {
  it('sends what is there, and ends as the deploy here does', async () => {
    const shop = await installed('dremote')
    const ssh = await makeSsh(shop)
    const remote = (...words: string[]) => run(process.execPath, [cli, 'deploy', ...words, '--to', 'anna@shop'], { env: { HOLDFAST_SSH: ssh }, cwd: shop.folder })

    await shop.release('2')
    const first = await remote('.')
    expect(first.status, first.stdout + first.stderr).toBe(0)
    expect(first.stdout).toContain(`deploys ${shop.folder} to ${shop.name}`)
    expect((await ask(shop)).release).toBe('2')
    expect((await history(shop)).at(-1)).toMatchObject({ by: 'root@192.0.2.7', outcome: 'live' })

    const bad = await remote('/dev/null')
    expect(bad.status).toBe(2)
    await shop.release('bad', broken['crashes at its start'])
    const failed = await remote(shop.name, '.')
    expect(failed.status).toBe(1)
    expect(failed.stderr).toContain('failed at step handover')
    expect(failed.stderr).toContain('no such module: stripe')

    const dry = await remote(shop.name, '.', '--dry-run')
    expectSuccess(dry)
    expect(dry.stdout).toContain(`Would deploy ${shop.folder} to ${shop.name}`)
    expect(leftovers(shop)).toEqual([])
  })

  it('is forgotten when its client is lost while it waits, and goes on when it has begun', async () => {
    const shop = await gated('dlost')
    const ssh = await makeSsh(shop)
    const start = (...words: string[]) =>
      spawn(process.execPath, [cli, 'deploy', shop.name, '.', '--to', 'anna@shop', ...words], { stdio: 'ignore', env: { ...process.env, HOLDFAST_SSH: ssh }, cwd: shop.folder })
    await shop.release('2')
    const first = start()
    await atStep(shop, 'migrate')
    const second = start('--wait')
    await waitFor('the second waits', () => leftovers(shop).length === 3)
    second.kill('SIGKILL')
    await waitFor('it is forgotten', () => leftovers(shop).length === 2)
    first.kill('SIGKILL')
    await shop.open()
    await waitFor('the first is live', async () => (await recorded(shop)).live?.generation === 2)
    await waitFor('nothing is left', () => leftovers(shop).length === 0)
    expect((await ask(shop)).release).toBe('2')
  })
})

describe('a deploy from git', () => {
  it('takes the branch, then what is new on it by default, and lays an overlay over it', async () => {
    const shop = await installed('dgit', '')
    const repository = `/srv/${shop.name}-repository`
    onTestFinished(() => rm(repository, { recursive: true, force: true }))
    const git = (...args: string[]) => mustRun('git', ['-C', repository, '-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args])
    const commit = async (release: string) => {
      await shop.release(release)
      await mustRun('cp', ['-rT', shop.folder, repository])
      await git('add', '-A')
      await git('commit', '-qm', release)
    }
    await mustRun('git', ['init', '-q', '-b', 'main', repository])
    await commit('2')
    await writeFile('/srv/VERSION', '2.0.0+overlay\n')
    const overlay = `/srv/${shop.name}-overlay.tar.gz`
    await mustRun('tar', ['-czf', overlay, '-C', '/srv', 'VERSION'])
    onTestFinished(() => Promise.all([rm(overlay), rm('/srv/VERSION')]).then(() => {}))
    const first = await deploy(shop, repository, '--branch', 'main', '--overlay', overlay)
    expect(first.status, JSON.stringify(first.events) + first.stderr).toBe(0)
    const release = JSON.parse(await readFile(`/var/lib/holdfast/${shop.name}/releases/${endOf(first.events).release}.json`, 'utf8')) as Record<string, unknown>
    expect(release).toMatchObject({ source: { kind: 'git', repository, branch: 'main' }, overlay: { name: overlay.slice(5) }, version: '2.0.0+overlay', outcome: 'good' })
    expect((await ask(shop)).release).toBe('2')

    await commit('3')
    const second = await deploy(shop, `${repository}/.git`)
    expect(second.status, JSON.stringify(second.events) + second.stderr).toBe(0)
    expect((await ask(shop)).release).toBe('3')
    const bad = await deploy(shop, repository, '--commit', 'abcdef1234')
    expect(endOf(bad.events).failure?.step).toBe('fetch')
  })
})

describe('an app without a source folder', () => {
  it('is brought up by its first deploy, also after one that failed', async () => {
    const shop = await makeShop('dfirst', { config: '[start]\nsettle = "200ms"' })
    await writeFile(shop.config, (await readFile(shop.config, 'utf8')).replace(/^directory = .*$/m, ''))
    expectSuccess(await holdfast('install', shop.config))
    expect((await holdfast('deploy', shop.name)).stderr).toContain('has no source folder, and no release of it from git was ever live')
    await shop.release('bad', broken['crashes at its start'])
    const failed = await holdfast('deploy', shop.name, await archive(shop))
    expect(failed.status).toBe(1)
    expect(failed.stderr).toContain('Nothing serves.')
    expect(await recorded(shop)).not.toHaveProperty('wanted')

    await shop.release('1')
    expectSuccess(await holdfast('deploy', shop.name, await archive(shop)))
    expect((await ask(shop)).release).toBe('1')
    expectSuccess(await systemctl('restart', shop.name))
    expect((await ask(shop)).release).toBe('1')
    expect(leftovers(shop)).toEqual([])
  })
})

describe('a disk', () => {
  it('that is full fails the step that fills it, and nothing else', async () => {
    const shop = await installed('dfull', '')
    const staging = `/var/lib/holdfast/${shop.name}/staging`
    await mkdir(staging)
    await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', staging])
    onTestFinished(() => run('umount', [staging]).then(() => {}))
    await shop.release('2')
    await shop.write({ large: 'x'.repeat(1_000_000) })
    const folder = await holdfast('deploy', shop.name)
    expect(folder.status).toBe(1)
    expect(folder.stderr).toMatch(/failed at step unpack: .*(no space left|disk is full).* serves on\./)
    const input = await run('sh', ['-c', `cat /dev/urandom | head -c 1000000 | ${process.execPath} ${cli} deploy ${shop.name} -`])
    expect(input.stderr).toMatch(/^Error: .*the disk is full\nTry: df/)
    expect(input.status).toBe(1)
    expect(leftovers(shop)).toEqual([])
    expect((await ask(shop)).release).toBe('1')
    await mustRun('umount', [staging])
    expectSuccess(await holdfast('deploy', shop.name))
    expect((await ask(shop)).release).toBe('2')
  })

  it('that is read-only refuses the deploy, and nothing is lost', async () => {
    const shop = await installed('drofs', '')
    const state = `/var/lib/holdfast/${shop.name}`
    await mustRun('mount', ['--bind', state, state])
    onTestFinished(() => run('umount', [state]).then(() => {}))
    await mustRun('mount', ['-o', 'remount,ro,bind', state])
    const { status, stderr } = await holdfast('deploy', shop.name)
    expect(stderr).toMatch(/^Error: .*the filesystem is read-only\nTry: findmnt/)
    expect(status).toBe(1)
    await mustRun('umount', [state])
    expect((await ask(shop)).release).toBe('1')
    expectSuccess(await holdfast('deploy', shop.name))
  })
})
