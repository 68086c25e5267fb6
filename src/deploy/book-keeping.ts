import { explainSystemError, HoldfastError } from '../errors.js'
import type { InstalledApp } from './app.js'

/** Writes down what is decided already: that it cannot be, as on a full disk, changes nothing of that, and is told. @param decided as the begin of a sentence */
export async function keepBooks({ story }: Pick<InstalledApp, 'story'>, decided: string, write: () => void | Promise<void>): Promise<void> {
  try {
    await write()
  } catch (thrown) {
    const error = explainSystemError(thrown)
    if (!(error instanceof HoldfastError)) throw error
    story.tell('record-incomplete', `${decided}, but not all of it could be written down: ${error.message}`)
  }
}
