import { spawnSync } from 'node:child_process'
import { accessSync, constants, readFileSync, realpathSync, statSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { isTakenVariable } from '../../config/env.js'
import type { Config } from '../../config/model.js'
import type { Places } from '../../release/paths.js'
import { findForeign } from './foreign.js'
import { findProgram } from '../instances.js'
import { invalid, unfit } from '../refusal.js'

/** The accounts, folders, files and programs that a configuration names. @throws HoldfastError `machine-unfit` or `config-invalid` */
export function checkNeeds(config: Config, { scope }: Places, node: string): void {
  if (config.user !== undefined) {
    if (scope === 'user') throw invalid('user cannot be set with --user, for the app runs as you', 'remove the key')
    checkAccount(config.user)
  } else if (scope === 'system') {
    checkDynamicUser(config)
  }
  for (const { name, group } of config.listen) {
    if (group !== undefined && findEntry('group', group) === undefined) {
      throw unfit(`listen.${name}: there is no group ${group}`, `addgroup --system ${group}`)
    }
  }
  if (config.directory !== undefined) checkDirectory(config.directory)
  checkProgram(config, node)
  if (config.envFile !== undefined) checkEnvFile(config.envFile, { isRoots: scope === 'system' })
  if (scope === 'system') for (const path of config.sandbox.writePaths) checkWritePath(path)
}

function checkAccount(user: string): void {
  const entry = findEntry('passwd', user)
  if (entry === undefined) throw unfit(`user = ${JSON.stringify(user)}: there is no such account`, `adduser --system --group ${user}`)
  if (entry.split(':')[2] === '0') throw invalid(`user = ${JSON.stringify(user)} is root under another name`, "remove `user` for a user of the app's own, or name an account")
}

/** DynamicUser= brings NoNewPrivileges=yes and ProtectHome=read-only, whatever the unit says: systemd.exec(5). */
function checkDynamicUser({ app, sandbox }: Config): void {
  const key = sandbox.setuid ? 'setuid = true' : sandbox.home === 'visible' ? 'home = "visible"' : undefined
  if (key === undefined) return
  throw invalid(`sandbox.${key} has no effect without \`user\`: systemd does not allow it to a dynamic user`, `adduser --system --group ${app}, and write user = "${app}"`)
}

function checkDirectory(directory: string): void {
  const stat = statSync(directory, { throwIfNoEntry: false })
  if (stat === undefined) throw invalid(`directory = ${JSON.stringify(directory)}: there is no such folder`, `mkdir -p ${directory}`)
  if (!stat.isDirectory()) throw invalid(`directory = ${JSON.stringify(directory)} is not a folder`, 'name the folder that the code lies in')
}

function checkProgram({ command, directory }: Config, node: string): void {
  const program = findProgram(command[0] as string, node)
  if (!isAbsolute(program) && directory === undefined) return // comes with a release
  const file = isAbsolute(program) ? program : join(directory as string, program)
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined) throw invalid(`command: there is no ${program} in ${directory}`, 'write its path as it is in the release')
  if (!stat.isFile()) throw invalid(`command: ${file} is a folder`, 'name the program in it')
  try {
    accessSync(file, constants.X_OK)
  } catch {
    throw invalid(`command: ${file} may not be executed`, `chmod +x ${file}`)
  }
}

/** Its values are secrets: no message shows them. */
function checkEnvFile(file: string, { isRoots }: { isRoots: boolean }): void {
  const key = `env_file = ${JSON.stringify(file)}`
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined) throw invalid(`${key}: there is no such file`, `install -m 600 /dev/null ${file}`)
  if (!stat.isFile()) throw invalid(`${key} is not a file`, `ls -ld ${file}`)
  if ((stat.mode & 0o007) !== 0) throw invalid(`${key}: every user of this machine may read it (mode ${(stat.mode & 0o777).toString(8)})`, `chmod 600 ${file}`)
  // Root reads it at each handover: a link put in its place would show the app another's secrets.
  const foreign = isRoots ? findForeign(realpathSync(file)) ?? findForeign(file) : undefined
  if (foreign !== undefined) throw invalid(`${key}: ${foreign}, and could have root read any file there`, `install -o root -g root -m 600 ${file} /etc/, and name that one`)
  for (const [index, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    const name = /^\s*([A-Za-z_]\w*)=/.exec(line)?.[1]
    if (name !== undefined && isTakenVariable(name)) throw invalid(`${file}:${index + 1}: ${name} is set by systemd or Holdfast`, 'remove the line')
    if (/^\s*export\s+[A-Za-z_]\w*=/.test(line)) throw invalid(`${file}:${index + 1}: systemd ignores a line that begins with export`, 'write KEY=value alone')
  }
}

function checkWritePath(path: string): void {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) {
    throw invalid(`sandbox.write_paths: there is no ${path}, and no instance could start without it`, `mkdir -p ${path}`)
  }
}

function findEntry(database: 'passwd' | 'group', name: string): string | undefined {
  const { status, stdout } = spawnSync('getent', [database, name], { encoding: 'utf8' })
  return status === 0 ? stdout : undefined
}
