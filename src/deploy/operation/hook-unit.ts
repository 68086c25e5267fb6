import { join } from 'node:path'
import { timeSpan } from '../../units/escape.js'
import { instanceVariables } from '../instance-settings.js'

/** What of the unit of a hook, or of another command of a release's, does not come from the template. */
export interface CommandUnit {
  unit: string
  description: string
  /** Absolute path: the working directory. */
  folder: string
  /** The folder becomes the user's own, and writable to it. */
  writable: boolean
  /** Absolute paths of files of variables; a later one wins. */
  environmentFiles: string[]
  /** Absolute path of a pipe. */
  output: string
  timeoutMs: number
  /** From SIGTERM, to all its processes, to SIGKILL. */
  stopMs: number
  /** Variables of an instance that it has all the same. */
  keeps?: readonly string[]
  /** More settings, such as `BindPaths=…`; the last word. */
  properties?: readonly string[]
  boundTo?: { unit: string; isActive: boolean }
}

/** `stopMs` of a hook. */
export const hookStopMs = 10_000

/**
 * Makes the folder the user's own before the hook, as root. A dynamic user exists only while a unit of it runs. Until
 * the folder itself is given away, as the last, nobody but root gets into it. Links are not followed.
 */
const giveScript =
  'if id=$(readlink "/run/systemd/dynamic-uid/direct:$1"); then own=$id:$id mode=755; else own=$1: mode=750; fi; chown -hR "$own" "$2" && chmod $mode "$2"'

/**
 * The arguments of systemd-run(1) for a hook, without the scope's. Pure. Its unit stays as it ends, so that what
 * became of it is read from the unit: a client may lose its connection.
 * @param settings those of an instance's unit, as `settingsOf` gives them
 * @param instances the folder of the instances' own files, which are not the hook's
 */
export function hookArguments(hook: CommandUnit, argv: readonly string[], settings: readonly string[], { scope, app, instances }: { scope: 'system' | 'user'; app: string; instances: string }): string[] {
  const shared = settings.flatMap((setting) => {
    if (setting.startsWith('WorkingDirectory=')) return []
    // In their place among the admin's own: the last one wins.
    if (setting === `EnvironmentFile=${instances}/0.1/environment`) return hook.environmentFiles.map((file) => `EnvironmentFile=${file}`)
    return setting.includes(`${instances}/0.1/`) ? [] : [setting]
  })
  const own = [
    'Type=oneshot',
    'RemainAfterExit=yes',
    `WorkingDirectory=${hook.folder}`,
    `UnsetEnvironment=${instanceVariables.filter((name) => !hook.keeps?.includes(name)).join(' ')}`,
    'StandardInput=null',
    `StandardOutput=file:${hook.output}`,
    'StandardError=inherit',
    `SyslogIdentifier=${app}`,
    `TimeoutStartSec=${timeSpan(hook.timeoutMs)}`,
    `TimeoutStopSec=${timeSpan(hook.stopMs)}`,
    // As in a shell: `npm ls | head` is no error.
    'IgnoreSIGPIPE=no',
    // The instances have the same folder there, and go on.
    ...(shared.some((setting) => setting.startsWith('RuntimeDirectory=')) ? ['RuntimeDirectoryPreserve=yes'] : []),
    ...(scope === 'system' ? systemSettings(hook, shared, app) : []),
    ...(hook.boundTo === undefined ? [] : [`BindsTo=${hook.boundTo.unit}`]),
    // One that is still starting, as a oneshot is all the time, would be waited for.
    ...(hook.boundTo?.isActive === true ? [`After=${hook.boundTo.unit}`] : []),
    ...(hook.properties ?? []),
  ]
  return [
    `--unit=${hook.unit}`,
    `--description=${hook.description}`,
    ...[...shared, ...own].map((setting) => `--property=${setting}`),
    '--',
    // systemd-run takes % as it is, but systemd expands $VARIABLE: systemd.service(5), "Command lines".
    ...argv.map((word) => word.replaceAll('$', '$$$$')),
  ]
}

function systemSettings({ folder, writable }: CommandUnit, shared: readonly string[], app: string): string[] {
  const valueOf = (name: string): string | undefined => shared.findLast((setting) => setting.startsWith(`${name}=`))?.slice(name.length + 1)
  const user = valueOf('User') ?? ''
  const cache = [`CacheDirectory=${cacheDirectory(app)}`, ...(valueOf('CacheDirectory') === undefined ? ['CacheDirectoryMode=0700'] : [])]
  if (!writable) return [...cache, `ReadOnlyPaths=${quote(folder)}`]
  return [
    ...cache,
    `ReadWritePaths=${quote(folder)}`,
    // What it writes becomes code, which the instances are to read.
    'UMask=0022',
    ...(user === '' ? [] : [`ExecStartPre=+/bin/sh -c ${quote(giveScript.replaceAll('$', '$$$$'))} sh ${quote(user)} ${quote(folder.replaceAll('$', '$$$$'))}`]),
  ]
}

/**
 * The home of the app's hooks, kept over deploys: CacheDirectory= in systemd.exec(5). With a dynamic user, the first is a
 * link to the second. In a user's own manager they have the user's home.
 */
export const cacheFolders = ({ scope, app }: { scope: 'system' | 'user'; app: string }): string[] =>
  scope === 'user' ? [] : [join('/var/cache', cacheDirectory(app)), join('/var/cache/private', cacheDirectory(app))]

const cacheDirectory = (app: string): string => `holdfast/${app}`

/** Variables that a hook has besides the app's own. A user's own manager has a home already. */
export function hookVariables({ scope, app, release }: { scope: 'system' | 'user'; app: string; release: string }, env: Record<string, string>, path: string): [string, string][] {
  const home = join('/var/cache', cacheDirectory(app))
  return [
    ...(scope === 'system' ? ([['HOME', home], ['XDG_CACHE_HOME', join(home, '.cache')], ['npm_config_cache', join(home, '.npm')]] as [string, string][]) : []),
    ['PATH', path],
    ...Object.entries(env),
    ['HOLDFAST_APP', app],
    ['HOLDFAST_RELEASE', release],
  ]
}

/** One word of a value that systemd-run(1) takes apart itself; specifiers are not expanded there. */
function quote(word: string): string {
  return `"${word.replace(/["\\]/g, '\\$&')}"`
}
