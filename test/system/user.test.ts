/** The same under a user's own manager: no root anywhere. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { expect, it, onTestFailed } from 'vitest'
import { ask, serverJs } from './apps.js'
import { freePort, mustRun, registerModule, root, run, systemctl, uniqueApp, waitFor, type Result } from './harness.js'

it('installs, hands over, survives a broken release and uninstalls', async () => {
  const account = uniqueApp('user').replaceAll('-', '_')
  await mustRun('useradd', ['--create-home', account])
  const uid = (await mustRun('id', ['-u', account])).trim()
  await mustRun('systemctl', ['start', `user@${uid}.service`])
  const home = `/home/${account}`
  const as = (...command: string[]): Promise<Result> =>
    run('setpriv', ['--reuid', account, '--regid', account, '--init-groups', 'env', '-i', `HOME=${home}`, `XDG_RUNTIME_DIR=/run/user/${uid}`, `PATH=${process.env['PATH']}`, ...command])
  const must = async (...command: string[]): Promise<string> => {
    const { status, stdout, stderr } = await as(...command)
    expect(status, `${command.join(' ')}\n${stdout}${stderr}`).toBe(0)
    return stdout
  }
  const holdfast = [process.execPath, `${root}/dist/cli/main.js`]
  onTestFailed(async () => console.error((await as('journalctl', '--user', '--no-pager', '-n', '80')).stdout))

  const port = await freePort()
  const shop = { address: `127.0.0.1:${port}` }
  const preview = { address: `127.0.0.1:${await freePort()}` }
  const folder = `${home}/shop`
  const write = (name: string, text: string): Promise<void> => writeFile(`${folder}/${name}`, text)
  await mkdir(folder)
  await write('package.json', '{"type":"module"}')
  await write('server.js', serverJs('1'))
  await write('holdfast.toml', `app = "shop"\ncommand = ["node", "--import", "${registerModule}", "server.js"]\ndirectory = "."\n[listen]\nhttp = "${shop.address}"\n[preview]\naddress = "${preview.address}"\n[start]\nsettle = "300ms"\n`)

  const before = await must('find', home, '-not', '-path', `${folder}/*`)
  await must(...holdfast, 'install', '--user', `${folder}/holdfast.toml`)
  expect(await ask(shop)).toMatchObject({ release: '1', generation: '1' })
  await write('server.js', serverJs('2'))
  await must('systemctl', '--user', 'restart', 'shop')
  expect(await ask(shop)).toMatchObject({ release: '2', generation: '2' })
  await write('server.js', "throw new Error('broken')")
  expect((await as('systemctl', '--user', 'restart', 'shop')).status).toBe(1)
  expect(await ask(shop)).toMatchObject({ release: '2', generation: '2' })
  expect(JSON.parse(await must(...holdfast, '--user', 'releases', 'shop', '--json'))).toMatchObject([{ outcome: 'failed' }, { outcome: 'good', live: 2 }, { rollbackTarget: true }])
  expect(JSON.parse(await must(...holdfast, '--user', 'history', '--json'))).toMatchObject([{ generation: 3, outcome: 'failed' }, { generation: 2, outcome: 'live' }, { generation: 1 }])
  await write('server.js', serverJs('4'))
  await write('holdfast.toml', `${await readFile(`${folder}/holdfast.toml`, 'utf8')}[hooks]\ninstall = "echo built > built.txt"\nmigrate = "cat built.txt"\n`)
  const deployed = await must(...holdfast, '--user', 'deploy', 'shop')
  expect(deployed).toContain(`${account} deploys ${folder} to shop`)
  expect(deployed).toMatch(/^ {4}built$/m)
  expect(await ask(shop)).toMatchObject({ release: '4', generation: '4' })
  expect(await must(...holdfast, '--user', 'prune', '--keep', '0')).toMatch(/^removed /)

  expect((await ask(preview)).status).toBe(503)
  await write('server.js', serverJs('5'))
  await must(...holdfast, '--user', 'deploy', 'shop', '--hold')
  expect([(await ask(shop)).release, (await ask(preview)).release]).toEqual(['4', '5'])
  await must(...holdfast, '--user', 'abort', 'shop')
  expect(await (await fetch(`http://${preview.address}/`)).text()).toContain('holdfast --user deploy shop --hold')
  await must('systemctl', '--user', 'stop', 'shop', 'shop-drain')
  await expect(ask(preview)).rejects.toThrow()
  await expect(ask(shop)).rejects.toThrow()
  await must('systemctl', '--user', 'start', 'shop')
  expect(await ask(shop)).toMatchObject({ release: '4' })

  await must(...holdfast, '--user', 'uninstall', 'shop')
  await waitFor('nothing of it is left', async () => (await must('systemctl', '--user', 'list-units', '--all', '--no-legend', 'shop*')).trim() === '')
  const after = (await must('find', home, '-not', '-path', `${folder}/*`)).split('\n').filter((path) => !before.split('\n').includes(path))
  // Folders that a first user unit makes may stay; files may not.
  expect((await Promise.all(after.filter(Boolean).map(async (path) => ((await run('test', ['-d', path])).status === 0 ? '' : path)))).filter(Boolean)).toEqual([])
  await systemctl('stop', `user@${uid}.service`)
})
