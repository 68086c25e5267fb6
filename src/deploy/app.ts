import type { Config } from '../config/model.js'
import type { AppPaths } from '../release/paths.js'
import type { Systemd } from '../systemd/systemd.js'
import type { Story } from './story.js'

/** What there is of an installed app without its configuration. */
export interface InstalledUnits {
  paths: AppPaths
  /** The names of its units, as `install` wrote them. */
  units: string[]
  systemd: Systemd
  story: Story
  /** Where the tables of processes, sockets and memory lie. Default /proc. */
  proc?: string
}

/** An installed app, with the seams to the machine: all that a handover needs to know. */
export interface InstalledApp extends InstalledUnits {
  /** The installed configuration, which alone has authority. */
  config: Config
  /** Absolute real path of node, as `install` recorded it: what `node` means in a command. */
  node: string
}
