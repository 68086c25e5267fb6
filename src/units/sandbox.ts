import type { Config } from '../config/model.js'
import { listWord } from './escape.js'
import type { Installation } from './installation.js'
import type { Values } from './template.js'

/** The name of the dynamic user of an app; the prefix keeps it from being a static account's, such as `backup`. */
export const dynamicUserName = (app: string): string => `hf-${app}`

/**
 * The sandbox of an instance. Strict by default; each relaxation is one key of `[sandbox]`.
 * Source: systemd.exec(5), systemd.resource-control(5).
 */
export function sandboxValues(config: Config, installation: Installation): Values {
  return installation.scope === 'system' ? systemSandbox(config, installation) : userSandbox(config)
}

function systemSandbox(config: Config, installation: Installation): Values {
  const { sandbox } = config
  const dynamic = config.user === undefined
  return {
    user: config.user ?? dynamicUserName(config.app),
    dynamicUser: dynamic ? 'yes' : undefined,
    stateDirectory: config.data ? `holdfast/${config.app}/data` : undefined,
    systemOnly: 'yes',
    // With a filter of system calls besides, as each of these brings one, systemd forces NoNewPrivileges=yes.
    protectKernel: sandbox.setuid ? undefined : 'yes',
    protectSystem: 'strict',
    privateTmp: 'yes',
    writePath: words(sandbox.writePaths),
    ...protectHome(config, installation),
    privateDevices: yesNo(!sandbox.devices && !sandbox.setuid),
    // Capabilities in a user namespace of one's own reach nothing outside it.
    privateUsers: yesNo(sandbox.capabilities.length === 0 && !sandbox.setuid),
    protectProc: sandbox.processes ? 'default' : 'invisible',
    noNewPrivileges: yesNo(!sandbox.setuid),
    capabilityBounds: sandbox.setuid ? undefined : sandbox.capabilities.join(' '),
    capabilities: sandbox.capabilities.join(' '),
    ...callFilters(config),
  }
}

/**
 * A user's manager may not mount, nor become somebody else, without a user namespace, which many
 * systems forbid: what needs neither stays.
 */
function userSandbox(config: Config): Values {
  const none = Object.fromEntries(
    [
      'user', 'dynamicUser', 'systemOnly', 'protectSystem', 'privateTmp', 'writePath', 'protectHome', 'bindReadOnly',
      'privateDevices', 'privateUsers', 'protectProc', 'protectKernel', 'capabilityBounds', 'capabilities',
    ].map((name) => [name, undefined]),
  )
  return {
    ...none,
    stateDirectory: config.data ? `holdfast/${config.app}/data` : undefined,
    noNewPrivileges: yesNo(!config.sandbox.setuid),
    ...callFilters(config),
  }
}

function protectHome({ sandbox }: Config, { homePaths }: Installation): Values {
  switch (sandbox.home) {
    case 'hidden':
      return homePaths.length === 0
        ? { protectHome: 'yes', bindReadOnly: undefined }
        : { protectHome: 'tmpfs', bindReadOnly: words(homePaths) }
    case 'read-only':
      return { protectHome: 'read-only', bindReadOnly: undefined }
    case 'visible':
      return { protectHome: 'no', bindReadOnly: undefined }
  }
}

/** Filters of system calls, and settings that systemd makes one of. */
function callFilters({ sandbox }: Config): Values {
  if (sandbox.setuid) {
    return { filtered: undefined, architectures: undefined, filteredCall: undefined, addressFamilies: undefined, restrictNamespaces: undefined, restrictSetuid: undefined, systemCalls: [] }
  }
  return {
    filtered: 'yes',
    architectures: 'native',
    filteredCall: 'EPERM',
    addressFamilies: ['AF_UNIX', 'AF_INET', 'AF_INET6', 'AF_NETLINK', ...sandbox.addressFamilies].join(' '),
    restrictNamespaces: yesNo(!sandbox.namespaces),
    restrictSetuid: 'yes',
    systemCalls: [
      '@system-service',
      '~@privileged',
      '~@resources',
      // Chromium's sandbox needs the calls as well as the namespaces.
      ...(sandbox.namespaces ? ['@mount chroot'] : []),
      ...sandbox.systemCalls,
    ],
  }
}

const yesNo = (value: boolean): string => (value ? 'yes' : 'no')
const words = (values: readonly string[]): string | undefined =>
  values.length === 0 ? undefined : values.map(listWord).join(' ')
