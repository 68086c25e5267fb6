#!/usr/bin/env node
import { Command, CommanderError, Option } from 'commander'
import { print, printError } from './output.js'
import { version } from './version.js'

// Each command loads its own code: what units run at every restart must start fast.
const program = new Command('holdfast')
  .description('Zero-downtime releases on one server, with nothing but systemd in the path.')
  .version(version)
  .option('--user', "serve the apps of your own manager (systemctl --user), not the system's")
  .showHelpAfterError('(holdfast --help shows all commands)')
  .configureHelp({ showGlobalOptions: true })
  .exitOverride()
  .enablePositionalOptions()

const globals = (): { user?: boolean } => program.opts()

program
  .command('init')
  .description('write a commented holdfast.toml for the app in a folder')
  .argument('[folder]', 'with a package.json', '.')
  .action(async (folder: string) => {
    const { init } = await import('./init.js')
    const { file, notes } = init(folder)
    print(`wrote  ${file}`)
    for (const note of notes) print(`note: ${note}`)
  })

program
  .command('check')
  .description('check a configuration, and nothing else')
  .argument('[file]', 'the configuration', 'holdfast.toml')
  .action(async (file: string) => {
    const { loadConfig } = await import('../config/load.js')
    print(`${file}: good, for the app ${loadConfig(file).app}`)
  })

program
  .command('render')
  .description('show the units that a configuration makes')
  .argument('[file]', 'the configuration', 'holdfast.toml')
  .argument('[folder]', 'write them there')
  .action(async (file: string, folder: string | undefined) => {
    const { renderCommand } = await import('./render.js')
    renderCommand(file, folder, globals())
  })

program
  .command('install')
  .description('install an app, or apply its changed configuration')
  .argument('[file]', 'the configuration', 'holdfast.toml')
  .option('--dry-run', 'show what would change, and change nothing')
  .option('--replace', 'let it take the place of an app of that name from another folder')
  .action(async (file: string, options: { dryRun?: boolean; replace?: boolean }) => {
    const { installCommand } = await import('./install.js')
    await installCommand(file, { ...globals(), ...options })
  })

program
  .command('uninstall')
  .description('stop an app, wait for its drain, and remove what install wrote')
  .argument('<app>')
  .option('--dry-run', 'show what would go, and change nothing')
  .option('--purge', "remove the app's data too")
  .action(async (app: string, options: { dryRun?: boolean; purge?: boolean }) => {
    const { uninstallCommand } = await import('./uninstall.js')
    await uninstallCommand(app, { ...globals(), ...options })
  })

program
  .command('status')
  .description('show how an app is doing, or a line for each app')
  .argument('[app]')
  .option('--json', 'for programs; docs/cli.md tells the shape')
  .option('--watch', 'a live view, until q or Ctrl-C')
  .addHelpText('after', '\nExit status: 0 live and as recorded; 1 serving, but something is wrong; 2 not installed; 3 not serving. With --watch: 0.')
  .action(async (app: string | undefined, options: { json?: boolean; watch?: boolean }) => {
    if (options.watch === true) {
      const { watchCommand } = await import('./watch.js')
      process.exitCode = await watchCommand(app, { ...globals(), ...options })
      return
    }
    const { statusCommand } = await import('./status.js')
    process.exitCode = await statusCommand(app, { ...globals(), ...options })
  })

program
  .command('watch')
  .description('a live view of an app, or of all; with --json a stream of events')
  .argument('[app]')
  .option('--json', 'one event per line, for programs; docs/cli.md tells the shape')
  .option('--interval <seconds>', 'with --json: how often rates are told (default: 5)')
  .addHelpText('after', '\nIt changes nothing. Ends with q, Ctrl-C or SIGTERM, and status 0.')
  .action(async (app: string | undefined, options: { json?: boolean; interval?: string }) => {
    const { watchCommand } = await import('./watch.js')
    process.exitCode = await watchCommand(app, { ...globals(), ...options })
  })

program
  .command('metrics')
  .description('tell the metrics of an app, or of all, in the OpenMetrics text format')
  .argument('[app]')
  .option('--textfile <file>', "write them for node_exporter's textfile collector, such as /var/lib/prometheus/node-exporter/holdfast.prom")
  .addHelpText('after', '\nExit status: 0, also where an app cannot be looked at: holdfast_scrape_errors tells.')
  .action(async (app: string | undefined, options: { textfile?: string }) => {
    const { metricsCommand } = await import('./metrics.js')
    await metricsCommand(app, { ...globals(), ...options })
  })

program
  .command('deploy')
  .description('bring a release: fetch, unpack, verify, run its hooks, hand over')
  .argument('[app]', 'absent: the one that ./holdfast.toml names, or the only one installed')
  .argument('[source]', "a folder, an archive, an address, a git repository, or - for an archive on standard input; absent: the app's source folder")
  .option('--branch <name>', 'of a git repository; absent: that of the live release')
  .option('--commit <hash>', "on that branch; absent: the branch's tip")
  .option('--sha256 <sum>', 'what the archive must have')
  .option('--overlay <archive>', 'unpack it over the source')
  .option('--overlay-sha256 <sum>', 'what the overlay must have')
  .option('--no-install', 'do not run hooks.install')
  .option('--no-migrate', 'do not run hooks.migrate')
  .option('--migrate-only', 'end after hooks.migrate: nothing goes live')
  .option('--no-admission', 'whatever [admission] says of memory and drains')
  .option('--hold', 'stop before the switch: the release runs, and waits for holdfast promote or abort')
  .option('--canary <count>', 'let in so many of its processes beside the live ones, and wait for holdfast promote or abort')
  .option('--auto', 'with --canary: go on by itself once they have stood [bake]')
  .option('--expires <time>', 'discard what waits after that, such as 2h; default: [preview] expire, else never')
  .option('--wait', 'wait while somebody else deploys')
  .option('--dry-run', 'fetch and verify, show what would be done, and change nothing')
  .option('--json', 'for programs; docs/cli.md tells the shape')
  .option('--to <user@host>', 'deploy on another machine, by ssh')
  .addOption(new Option('--remote <client>').hideHelp())
  .addHelpText('after', '\nCtrl-C ends the watching, not the deploy.\nExit status: 0 live; 1 failed, what was live serves on; 2 refused, nothing was begun.')
  .action(async (app: string | undefined, source: string | undefined, options: object) => {
    const { deployCommand } = await import('./deploy.js')
    process.exitCode = await deployCommand([app, source].filter((word) => word !== undefined), { ...globals(), ...options })
  })

program
  .command('rollback')
  .description('bring back a release that is on disk; runs no hooks')
  .argument('[app]', 'absent: the one that ./holdfast.toml names, or the only one installed')
  .argument('[release]', 'by its id, the begin of its id, or its version; absent: the last good one before the live one')
  .option('--force', 'past releases whose hooks.after_drain has run')
  .option('--no-admission', 'whatever [admission] says of memory and drains')
  .option('--wait', 'wait while somebody else deploys')
  .option('--dry-run', 'show where it would go, and change nothing')
  .option('--json', 'for programs; docs/cli.md tells the shape')
  .addHelpText('after', '\nCtrl-C ends the watching, not the rollback.\nExit status: 0 live; 1 failed, what was live serves on; 2 refused, nothing was begun.')
  .action(async (app: string | undefined, release: string | undefined, options: object) => {
    const { rollbackCommand } = await import('./rollback.js')
    process.exitCode = await rollbackCommand([app, release].filter((word) => word !== undefined), { ...globals(), ...options })
  })

program
  .command('promote')
  .description('switch to the release that is held')
  .argument('[app]', 'absent: the one that ./holdfast.toml names, or the only one installed')
  .option('--wait', 'wait while somebody else deploys')
  .option('--dry-run', 'show what would go live, and change nothing')
  .option('--json', 'for programs; docs/cli.md tells the shape')
  .addHelpText('after', '\nExit status: 0 live; 1 failed, what was live serves on; 2 refused, nothing was begun.')
  .action(async (app: string | undefined, options: object) => {
    const { promoteCommand } = await import('./promote.js')
    process.exitCode = await promoteCommand(app, { ...globals(), ...options })
  })

program
  .command('abort')
  .description('discard the release that is held')
  .argument('[app]', 'absent: the one that ./holdfast.toml names, or the only one installed')
  .option('--wait', 'wait while somebody else deploys')
  .option('--dry-run', 'show what would be discarded, and change nothing')
  .option('--json', 'for programs; docs/cli.md tells the shape')
  .addOption(new Option('--expired <generation>').hideHelp())
  .addHelpText('after', '\nExit status: 0 discarded; 1 failed; 2 refused: nothing is held.')
  .action(async (app: string | undefined, options: object) => {
    const { abortCommand } = await import('./promote.js')
    process.exitCode = await abortCommand(app, { ...globals(), ...options })
  })

program
  .command('apply')
  .description('bring up exactly what is recorded; nothing where that serves already')
  .argument('[app]', 'absent: the one that ./holdfast.toml names, or the only one installed')
  .option('--wait', 'wait while somebody else deploys')
  .option('--dry-run', 'show what it would bring up, and change nothing')
  .option('--json', 'for programs; docs/cli.md tells the shape')
  .addHelpText('after', '\nExit status: 0 as recorded, or nothing is recorded; 1 failed, what was live serves on; 2 refused, nothing was begun.')
  .action(async (app: string | undefined, options: object) => {
    const { applyCommand } = await import('./apply.js')
    process.exitCode = await applyCommand(app, { ...globals(), ...options })
  })

program
  .command('preview')
  .description('open a loopback address to exactly the generation that is held')
  .argument('[app]', 'absent: the one that ./holdfast.toml names, or the only one installed')
  .option('--port <number>', 'of 127.0.0.1 and ::1; absent: a free one')
  .option('--json', 'for programs; docs/cli.md tells the shape')
  .addHelpText('after', '\nStays until Ctrl-C, or until that generation is live or discarded.\nExit status: 0 it was open; 2 refused, such as where none is held.')
  .action(async (app: string | undefined, options: { port?: string; json?: boolean }) => {
    const { previewCommand } = await import('./preview.js')
    process.exitCode = await previewCommand(app, { ...globals(), ...options })
  })

program
  .command('releases')
  .description('list the releases of an app: where each came from, how it went, and where a rollback goes')
  .argument('[app]', 'default: that of ./holdfast.toml, else the only one')
  .option('--json', 'for programs; docs/cli.md tells the shape')
  .action(async (app: string | undefined, options: { json?: boolean }) => {
    const { releasesCommand } = await import('./releases.js')
    await releasesCommand(app, { ...globals(), ...options })
  })

program
  .command('history')
  .description('list what was deployed: who, what, when, and how it went')
  .argument('[app]', 'default: that of ./holdfast.toml, else the only one')
  .option('-n, --number <count>', 'so many of the newest', '20')
  .option('--json', 'for programs; docs/cli.md tells the shape')
  .action(async (app: string | undefined, options: { json?: boolean; number: string }) => {
    const { historyCommand } = await import('./history.js')
    await historyCommand(app, { ...globals(), ...options })
  })

program
  .command('prune')
  .description('remove old releases that nothing needs')
  .argument('[app]', 'default: that of ./holdfast.toml, else the only one')
  .option('--keep <count>', 'so many besides those that are needed', '5')
  .option('--dry-run', 'show what would go, and change nothing')
  .option('--json', 'for programs; docs/cli.md tells the shape')
  .action(async (app: string | undefined, options: { json?: boolean; keep: string; dryRun?: boolean }) => {
    const { pruneCommand } = await import('./prune.js')
    await pruneCommand(app, { ...globals(), ...options })
  })

program
  .command('logs')
  .description("show an app's journal: the app, its sockets and its handovers")
  .usage('[--user] <app> [-f] [journalctl options]')
  .argument('<app>')
  .argument('[options...]', 'any of journalctl(1): -n 50, --since today, -p err, -o json, -x')
  .option('-f, --follow', 'go on with what comes')
  .passThroughOptions()
  .action(async (app: string, given: string[], { follow }: { follow?: boolean }, command: Command) => {
    if (given.includes('--help') || given.includes('-h')) command.help()
    const user = globals().user === true || given.includes('--user')
    const journalOptions = [...(follow === true ? ['--follow'] : []), ...given.filter((option) => option !== '--user')]
    const { logsCommand } = await import('./logs.js')
    process.exitCode = await logsCommand(app, journalOptions, { user })
  })

program
  .command('run')
  .description("run a command with the live release's code, environment, user and sandbox")
  .usage('[--user] [--dry-run] <app> -- <command...>')
  .argument('<app>')
  .argument('[command...]', 'such as: node console.js')
  .option('--dry-run', 'print the systemd-run command, and run nothing')
  .passThroughOptions()
  .addHelpText('after', "\nExit status: the command's own; 128 + N where signal N ended it; 2 where it was not run.")
  .action(async (app: string, given: string[], options: { dryRun?: boolean }) => {
    const { runCommand, splitCommand } = await import('./run.js')
    const { command, ...behind } = splitCommand(given)
    process.exitCode = await runCommand(app, command, { ...globals(), ...options, ...behind })
  })

program
  .command('stop')
  .description('stop an app, and show what its drain waits for')
  .argument('<app>')
  .option('--dry-run', 'show what would be run, and stop nothing')
  .addHelpText('after', '\nCtrl-C ends the waiting, not the stop. The app starts again by: systemctl start <app>')
  .action(async (app: string, options: { dryRun?: boolean }) => {
    const { stopCommand } = await import('./stop.js')
    process.exitCode = await stopCommand(app, { ...globals(), ...options })
  })

program
  .command('doctor')
  .description('check this machine and every installed app, each fault with its mend')
  .option('--json', 'for programs; docs/cli.md tells the shape')
  .addHelpText('after', '\nExit status: 0 without a failure; 1 with one.')
  .action(async (options: { json?: boolean }) => {
    const { doctorCommand } = await import('./doctor.js')
    process.exitCode = await doctorCommand({ ...globals(), ...options })
  })

// What the units run.
program
  .command('handover', { hidden: true })
  .argument('<app>')
  .option('--reload', 'take the source folder, as a restart does')
  .action(async (app: string, options: { reload?: boolean }) => {
    const { handover } = await import('./handover.js')
    process.exitCode = await handover(app, { ...globals(), ...options })
  })
program
  .command('deploy-run', { hidden: true })
  .argument('<app>')
  .argument('<id>')
  .action(async (app: string, id: string) => {
    const { deployRun } = await import('./deploy-run.js')
    process.exitCode = await deployRun(app, id, globals())
  })
program
  .command('drain', { hidden: true })
  .argument('<app>')
  .action(async (app: string) => {
    const { openUnits } = await import('./context.js')
    const { drainApp } = await import('../deploy/drain.js')
    await drainApp(openUnits(app, globals()))
  })
program
  .command('shutdown', { hidden: true })
  .argument('<app>')
  .action(async (app: string) => {
    const { openUnits } = await import('./context.js')
    const { boundShutdown } = await import('../deploy/shutdown.js')
    await boundShutdown(openUnits(app, globals()))
  })
program
  .command('after-drain', { hidden: true })
  .argument('<app>')
  .option('--again', 'look whether it is to be started once more')
  .action(async (app: string, options: { again?: boolean }) => {
    const { openApp } = await import('./context.js')
    const { lookAgain, runAfterDrain } = await import('../deploy/after-drain.js')
    const { tellDrained } = await import('../deploy/drained.js')
    const opened = openApp(app, globals())
    await tellDrained(opened)
    if (options.again === true) await lookAgain(opened)
    else process.exitCode = await runAfterDrain(opened)
  })
program
  .command('activate', { hidden: true })
  .argument('<app>')
  .action(async (app: string) => {
    const { openApp } = await import('./context.js')
    const { activateApp } = await import('../deploy/activate.js')
    await activateApp(openApp(app, globals()))
  })
program
  .command('preview-relay', { hidden: true })
  .argument('<app>')
  .action(async (app: string) => {
    const { previewRelayCommand } = await import('./preview-relay.js')
    await previewRelayCommand(app, globals())
  })

// `--user` may stand before a command or behind it.
for (const command of program.commands) command.addOption(new Option('--user').hideHelp())
program.hook('preAction', (_, command) => {
  if (command.opts()['user'] === true) program.setOptionValue('user', true)
})

// A reader that went away (`| head`), a journal that is started again: what is done goes on, and ends with its true status.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2
  else process.exitCode = printError(error)
}

