import type { DrainLimits } from '../runtime/limits.js'

/** The configuration of one app, checked and with every default filled in. Times are milliseconds. */
export interface Config {
  /** Prefix of every unit name: `appNamePattern` of names.ts, at most 28 characters as the user is `hf-<app>`. */
  app: string
  /** One line that people read in `systemctl status`; absent: the app's name. */
  description?: string
  /** Argument vector, run in the release directory without a shell. */
  command: string[]
  /** A static account; absent: a dynamic user named `hf-<app>` of the app's own. */
  user?: string
  /** The source folder that `systemctl restart` takes as a release; absent: releases come by `holdfast deploy`. */
  directory?: string
  /** Default true: the folder is copied into a release. false: it runs in place. */
  snapshot: boolean
  /** Instances per generation. Default 1. */
  processes: number
  env: Record<string, string>
  /** Absolute path of a file of `KEY=value` lines, readable by root alone. */
  envFile?: string
  /** A writable StateDirectory=, kept over releases. Default false. */
  data: boolean
  /** WatchdogSec=; absent: none. */
  watchdogMs?: number
  listen: Listener[]
  /** How a handover replaces several processes: all at once, or one after the other. Default `all`. */
  strategy: 'all' | 'rolling'
  start: Start
  /** No other time is longer than `timeoutMs`; by default 15 min, 90 s, 2 min, 30 s and 100 per second. */
  drain: DrainLimits
  limits: { memoryBytes?: number; tasks?: number }
  hooks: Hooks
  source: SourceSettings
  /** Asked of each new instance before the switch; absent: nothing is. */
  health?: Health
  bake: Bake
  preview: Preview
  admission: Admission
  notify?: Notify
  sandbox: Sandbox
}

export interface Start {
  /** Until READY=1. Default 60 s. */
  timeoutMs: number
  /** How long a new instance must stay up after READY=1. Default 2 s. */
  settleMs: number
  /** Whether the runtime holds a new instance back from the public listeners until it is let in. Default: whether the command preloads it. */
  standby: boolean
}

/** The health check of `[health]`: one of the two probes, so many times in a row. */
export interface Health {
  probe:
    /** A GET over the instance's private socket. `status`: those that are good; absent: 200 to 299. */
    | { kind: 'http'; path: string; status?: number[]; host: string; tls: boolean }
    /** Exit status 0 is good; the path of the private socket is in HOLDFAST_PRIVATE_SOCKET. */
    | { kind: 'command'; command: HookCommand }
  /** Between the end of a probe and the next. Default 1 s. */
  intervalMs: number
  /** Of one probe. Default 5 s. */
  timeoutMs: number
  /** In a row. Default 1. */
  successes: number
  /** Until which they must have come, from READY=1. Default 60 s. */
  deadlineMs: number
}

/** The watch on a new generation on real traffic, beside the old one, before that is let go. */
export interface Bake {
  /** Absent: as long as `start.settle`, at most 1 s, and only whether the instances stay up. */
  forMs?: number
  /** The share of answers with a status of 500 and above, on top of the old generation's share. Default 0.01. */
  maxErrors: number
  /** How many times the old generation's 95th percentile of answer times. Default 3. */
  maxSlowdown: number
  /** Answers before a share or a time is judged. Default 50. */
  minRequests: number
}

/** A way for other people to a held generation. Installed only. */
export interface Preview {
  address?: Address
  /** A held generation is discarded after that; absent: never. */
  expireMs?: number
}

/** What must be there before a generation is started. Installed only. */
export interface Admission {
  /** Default true: memory for the overlap. */
  memory: boolean
  /** What must be left besides, in bytes. Default 64 MiB. */
  reserveBytes: number
  /** The most generations that may be draining. Default 32. */
  maxDraining: number
  /** The longest that one may have been draining; absent: any. */
  maxDrainAgeMs?: number
}

/** Who is told of deploys. Installed only. */
export interface Notify {
  /** Argument vector; a JSON event comes on its standard input. */
  command: string[]
  /** Default 10 s. */
  timeoutMs: number
}

/** Commands around a deploy, run in the release's folder as the app's user in the app's sandbox. */
export interface Hooks {
  /** In the new release, before anything of it starts: its dependencies, its build. */
  install?: HookCommand
  /** Expand: before the new generation starts. */
  migrate?: HookCommand
  /** Contract: once the last older instance has exited. */
  afterDrain?: HookCommand
  /** Of each hook. Default 15 min. */
  timeoutMs: number
}

export interface HookCommand {
  /** As it stands in the file, for people. */
  text: string
  /** A string of the file is `/bin/sh -c` with it. */
  argv: string[]
}

/** Where releases come from, and what they may be. Installed only: a release says nothing of it. */
export interface SourceSettings {
  /** An address with `{version}` in it, which a version in the file `wanted` is fetched from. */
  url?: string
  /** Of a file as sha256sum(1) writes it, with `{version}` in it. Default: the address with `.sha256` behind it. */
  checksumUrl?: string
  /** Relative path of the file in a release that tells its version. */
  versionFile?: string
  /** What a release may unpack to, in bytes. Default 4 GiB. */
  maxBytes: number
  /** Default 500 000. */
  maxFiles: number
}

/** A named listening address; its name is the fd name (`FileDescriptorName=`). */
export interface Listener {
  name: string
  address: Address
  /** Of a unix socket. Default 0660 with a group, else 0600. */
  mode?: number
  /** Of a unix socket: `SocketGroup=`. */
  group?: string
}

export type Address =
  /** `host` is an IP address, or undefined for all addresses. */
  | { kind: 'tcp'; host?: string; port: number }
  | { kind: 'unix'; path: string }

/** Relaxations of the default sandbox, each one key of `[sandbox]`; the defaults are the strict ones. */
export interface Sandbox {
  /** Absolute paths the app may write to (ReadWritePaths=). Default none. */
  writePaths: string[]
  /** What the app sees of /home, /root and /run/user (ProtectHome=). Default `hidden`. */
  home: 'hidden' | 'read-only' | 'visible'
  /** Access to physical devices (PrivateDevices=no). Default false. */
  devices: boolean
  /** See the processes of other users (ProtectProc=default). Default false. */
  processes: boolean
  /** Make namespaces, as Chromium's own sandbox does (RestrictNamespaces=no). Default false. */
  namespaces: boolean
  /** Gain privileges by setuid programs such as sudo (NoNewPrivileges=no). Default false. */
  setuid: boolean
  /** Capabilities to hold, such as CAP_NET_RAW. Default none. */
  capabilities: string[]
  /** Address families on top of AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK. Default none. */
  addressFamilies: string[]
  /** System calls or groups on top of the default filter, such as `@resources`. Default none. */
  systemCalls: string[]
}
