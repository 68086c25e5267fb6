// @ts-check
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * Puts this package, as it would be published, and its runtime dependencies into a node_modules folder, as npm would:
 * without the network, and with the native packages as they were built here.
 *
 * @param {string} source the package's root, built
 * @param {string} nodeModules
 */
export function copyPackage(source, nodeModules) {
  const manifest = readManifest(source)
  const target = join(nodeModules, manifest.name)
  mkdirSync(target, { recursive: true })
  for (const entry of ['package.json', ...(manifest.files ?? [])]) {
    if (existsSync(join(source, entry))) cpSync(join(source, entry), join(target, entry), { recursive: true })
  }
  for (const [name, folder] of findDependencies(source)) {
    cpSync(folder, join(nodeModules, name), { recursive: true, dereference: true })
  }
}

/**
 * All dependencies of a package, theirs too, where node finds them. Optional ones that are not installed are left out.
 *
 * @param {string} root
 * @returns {Map<string, string>} name to folder
 */
export function findDependencies(root) {
  /** @type {Map<string, string>} */
  const found = new Map()
  const visit = (/** @type {string} */ folder) => {
    const { dependencies = {}, optionalDependencies = {} } = readManifest(folder)
    for (const name of new Set([...Object.keys(dependencies), ...Object.keys(optionalDependencies)])) {
      if (found.has(name)) continue
      const place = resolveFolder(name, folder)
      if (place !== undefined) {
        found.set(name, place)
        visit(place)
      } else if (!(name in optionalDependencies)) {
        throw new Error(`${name}, which ${folder} needs, is not installed: run scripts/setup`)
      }
    }
  }
  visit(root)
  return found
}

/** @param {string} name @param {string} from @returns {string | undefined} */
function resolveFolder(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const place = join(folder, 'node_modules', name)
    if (existsSync(join(place, 'package.json'))) return place
    if (folder === dirname(folder)) return undefined
  }
}

/** @param {string} folder */
function readManifest(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}
