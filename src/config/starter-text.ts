import type { Project } from './detect-project.js'
import { hasPreload } from './preload.js'
import { tomlList, tomlString } from './quote.js'

/** The commented holdfast.toml that `holdfast init` writes for a project. */
export function renderStarter(project: Project): string {
  return `# How Holdfast runs this app; docs/configuration.md of the package explains every key.
# Check it with \`holdfast check\`, put it in force with \`holdfast install\` (as root).

# Prefix of every unit name: ${project.app}.service, ${project.app}-http.socket, ...
app = ${tomlString(project.app)}

${renderCommand(project)}

# The source folder: \`systemctl restart ${project.app}\` takes what lies there as a new release.
directory = "."

# Without it, the app gets a user of its own.
# user = ${tomlString(project.app)}

# Processes per release, all on the same listener.
processes = 1

env = { ${Object.entries(project.env).map(([name, value]) => `${name} = ${tomlString(value)}`).join(', ')} }
# Secrets: a file of KEY=value lines that root alone can read.
# env_file = "/etc/${project.app}.env"

# A writable folder that is kept over releases; the app finds its path in STATE_DIRECTORY.
# data = true

[listen]
# systemd holds this address, and every release inherits it. Take the port that the app listens on.
# Also possible: "[::1]:${project.port}", ${project.port} (all addresses), or a path such as "/run/${project.app}/http.sock".
http = "127.0.0.1:${project.port}"

[start]
# A release that is not ready by then has failed, and the old one goes on serving.
timeout = "60s"
# It must then stay up for so long before the old one leaves.
settle = "2s"

[drain]
# What an old release may take to finish its work.
timeout = "15min"

# Asked of each new release before it is let in: one that does not answer well never gets a request.
# [health]
# path = "/healthz"

# Then both serve for so long, and the new one goes again if it is worse: errors, slowness, restarts.
# [bake]
# for = "60s"

# Where other people see what \`holdfast deploy --hold\` holds back.
# [preview]
# address = "127.0.0.1:8090"

# A new release is started only with so much memory left besides.
# [admission]
# reserve = "64M"

# Told of each deploy, by JSON on its standard input.
# [notify]
# command = ["/usr/local/bin/tell-chat"]

# Run by \`holdfast deploy\` in the new release's folder, as the app's user. \`systemctl restart\` runs none.
# [hooks]
# install = ${tomlString(project.hooks.install)}
# Before the new release starts, while the old one serves: it may only add to the database.
# migrate = ${tomlString(project.hooks.migrate)}

# [limits]
# memory = "1G"
# tasks = 512
`
}

function renderCommand({ command, commandSource, hasRuntime }: Project): string {
  const lines = [`# Run in the release directory, without a shell (from ${commandSource}).`]
  const preloaded = preload(command)
  if (preloaded === undefined || preloaded === command) {
    if (preloaded === undefined) lines.push('# It must take its sockets from LISTEN_FDS and say READY=1 itself.')
    return [...lines, `command = ${tomlList(command)}`].join('\n')
  }
  if (hasRuntime) return [...lines, `command = ${tomlList(preloaded)}`].join('\n')
  return [
    ...lines,
    '# An app that does not take its sockets from LISTEN_FDS itself needs the preload:',
    '#   npm install holdfast',
    `# command = ${tomlList(preloaded)}`,
    `command = ${tomlList(command)}`,
  ].join('\n')
}

/** The command with the runtime preloaded; the same one where it is already, undefined where node is not what runs. */
function preload(command: string[]): string[] | undefined {
  const [program = '', ...args] = command
  if (!/(?:^|\/)node(?:js)?$/.test(program)) return undefined
  return hasPreload({ command, env: {} }) ? command : [program, '--import', 'holdfast/register', ...args]
}
