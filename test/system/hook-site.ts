/** An installed app with a folder of code as a deploy builds it, and hooks that run there. */
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { openApp } from '../../src/cli/context.js'
import type { Config } from '../../src/config/model.js'
import type { InstalledApp } from '../../src/deploy/app.js'
import { runHook, type Hook, type HookResult } from '../../src/deploy/operation/hooks.js'
import { makeShop, type Shop } from './apps.js'
import { expectSuccess, holdfast } from './harness.js'

export interface HookSite {
  app: InstalledApp
  shop: Shop
  /** `<app>-hook.service`. */
  unit: string
  /** The code of a deploy, root's own. */
  folder: string
  /** Writes files of it, sealed as an unpacked archive is. */
  write(files: Record<string, string>): Promise<void>
  /** Runs a script for the shell; the result comes with all lines. */
  run(script: string | string[], options?: Partial<Hook> & { env?: Record<string, string> }): Promise<HookResult & { lines: string[] }>
}

export async function makeHookSite(prefix: string, { config = '', group }: { config?: string; group?: number } = {}): Promise<HookSite> {
  const shop = await makeShop(prefix, { config: `${config}\n[start]\nsettle = "200ms"` })
  expectSuccess(await holdfast('install', shop.config))
  const app = openApp(shop.name, {})
  const staging = join(app.paths.state, 'staging')
  const folder = join(staging, 'd1/code')
  await mkdir(staging, { mode: 0o711 })
  await mkdir(dirname(folder), { mode: 0o711 })
  await mkdir(folder, { mode: 0o755 })
  const seal = async (path: string, mode: number): Promise<void> => {
    if (group !== undefined) await chown(path, 0, group)
    await chmod(path, mode)
  }
  await seal(folder, group === undefined ? 0o555 : 0o550)
  return {
    app,
    shop,
    unit: `${shop.name}-hook.service`,
    folder,
    async write(files) {
      for (const [path, text] of Object.entries(files)) {
        const file = join(folder, path)
        const above = dirname(file)
        if (above !== folder) await mkdir(above, { recursive: true, mode: 0o755 })
        await writeFile(file, text)
        await seal(file, group === undefined ? 0o444 : 0o440)
      }
    },
    async run(script, { env = {}, ...options } = {}) {
      const lines: string[] = []
      const command = typeof script === 'string' ? { text: script, argv: ['/bin/sh', '-c', script] } : { text: script.join(' '), argv: script }
      const result = await runHook(app, {
        name: 'install',
        command,
        folder,
        writable: true,
        release: { id: 'r1' },
        config: { ...app.config, env: { ...app.config.env, ...env } } as Config,
        timeoutMs: 60_000,
        ...options,
        onLine: (line) => {
          lines.push(line)
          options.onLine?.(line)
        },
      })
      return { ...result, lines }
    },
  }
}
