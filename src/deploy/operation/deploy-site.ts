import { join } from 'node:path'
import type { InstalledApp } from '../app.js'
import type { Readers } from '../../release/readers.js'
import type { DeployRequest } from './deploy-request.js'

/** Where a deploy works, until its release is sealed. */
export interface DeploySite {
  app: InstalledApp
  request: DeployRequest
  /** Its staging folder. */
  staging: string
  readers: Readers
  signal: AbortSignal
}

/** The tree that becomes the release. */
export const codeFolder = ({ staging }: DeploySite): string => join(staging, 'code')

/** Where an archive from standard input is spooled to, and an overlay that is sent along. */
export const spoolFiles = (staging: string): { source: string; overlay: string } => ({ source: join(staging, 'archive'), overlay: join(staging, 'overlay-archive') })
