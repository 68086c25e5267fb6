import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../../errors.js'
import { holdfastCommand } from '../../release/command-words.js'
import { writeDurably } from '../../release/durable-file.js'
import { readManifest } from '../../release/manifest.js'
import type { AppPaths } from '../../release/paths.js'
import { makeRunFolder } from '../../release/run-folder.js'
import { isAlive, ownIdentity, type ProcessIdentity } from '../operation/deploy-owner.js'

/**
 * Tells deploys that the app is being removed: those that wait give up, and one that starts nevertheless ends at once. As
 * good as its process is alive, so that an uninstall that is cut off keeps nobody from deploying.
 */
export function markUninstall(paths: AppPaths): void {
  makeRunFolder(paths)
  writeDurably(markFile(paths), JSON.stringify(ownIdentity()))
}

/** @throws HoldfastError `not-installed` when the app is gone since it was looked up, or somebody removes it now */
export function requireInstalled(paths: AppPaths): void {
  const { app } = paths
  const hint = `${holdfastCommand(paths)} status`
  if (isUninstalling(paths)) throw new HoldfastError('not-installed', `somebody uninstalls ${app}: nothing was begun`, { hint })
  if (readManifest(paths) === undefined) throw new HoldfastError('not-installed', `${app} was uninstalled meanwhile: nothing was begun`, { hint })
}

const markFile = (paths: AppPaths): string => join(paths.run, 'uninstall.json')

function isUninstalling(paths: AppPaths): boolean {
  try {
    return isAlive(JSON.parse(readFileSync(markFile(paths), 'utf8')) as ProcessIdentity)
  } catch {
    return false
  }
}
