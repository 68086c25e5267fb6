// @ts-check
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { copyPackage } from './package-copy.js'
import { mustRun } from './machine.js'

export const shopFolder = '/srv/shop'
const globalModules = '/usr/local/lib/node_modules'

/**
 * Installs Holdfast as `npm install --global` would, and the shop with its own copy. Writes to /usr/local and /srv:
 * only inside the private systemd, whose folders are copies.
 *
 * @param {string} root of this repository
 */
export async function placeShop(root) {
  await placeNode()
  copyPackage(root, globalModules)
  rmSync('/usr/local/bin/holdfast', { force: true })
  symlinkSync(join(globalModules, 'holdfast/dist/cli/main.js'), '/usr/local/bin/holdfast')

  rmSync(shopFolder, { recursive: true, force: true })
  mkdirSync('/srv', { recursive: true })
  cpSync(join(root, 'examples/shop'), shopFolder, { recursive: true })
  rmSync(join(shopFolder, 'node_modules'), { recursive: true, force: true })
  copyPackage(root, join(shopFolder, 'node_modules'))

  // A checkout may belong to anybody, with any mode; what root runs must be root's alone.
  await mustRun(['chown', '-R', 'root:root', globalModules, shopFolder])
  await mustRun(['chmod', '-R', 'u+rwX,go+rX,go-w', globalModules, shopFolder])
  await mustRun(['chmod', '755', join(globalModules, 'holdfast/dist/cli/main.js')])
}

/** A node from a version manager lies in somebody's home, where no service may go: take a copy. */
async function placeNode() {
  if (/^\/(usr|opt)\//.test(process.execPath)) return
  await mustRun(['install', '-m', '755', '-o', 'root', '-g', 'root', process.execPath, '/usr/local/bin/node'])
}

/**
 * Changes the folder as a developer's `git pull` would: another version, and perhaps another setting.
 *
 * @param {string} version
 * @param {{ currency: string }} settings
 */
export function changeShop(version, { currency }) {
  editJson(join(shopFolder, 'package.json'), { version })
  editJson(join(shopFolder, 'shop.json'), { currency })
}

/** @param {string} path @param {Record<string, unknown>} changes */
function editJson(path, changes) {
  const text = JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...changes }, null, 2)
  writeFileSync(path, `${text}\n`)
}
