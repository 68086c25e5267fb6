/** Where and by what the units of an app run; what `install` found on the machine. */
export interface Installation {
  /** `system`: PID 1 and root. `user`: the user's own manager. */
  scope: 'system' | 'user'
  /** Absolute real path of node. */
  node: string
  /** Absolute real path of the program `holdfast`. */
  cli: string
  /** Absolute path of the folder that holds `<generation>.<process>/` for each instance. */
  instances: string
  /** Absolute path of the app's folder that is gone after a reboot. */
  run: string
  /** Absolute paths below the home folders that the app needs to read, such as node's own. */
  homePaths: string[]
}
