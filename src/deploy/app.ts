import type { Config } from '../config/model.js'
import type { AppPaths } from '../release/paths.js'
import type { Systemd } from '../systemd/systemd.js'
import type { Story } from './story.js'

/** An installed app, with the seams to the machine: all that a handover needs to know. */
export interface InstalledApp {
  paths: AppPaths
  /** The installed configuration, which alone has authority. */
  config: Config
  systemd: Systemd
  story: Story
  /** Absolute real path of node, as `install` recorded it: what `node` means in a command. */
  node: string
}
