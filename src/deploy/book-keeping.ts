import { explainSystemError, HoldfastError } from '../errors.js'
import type { InstalledApp } from './app.js'

/** Does what changes nothing of what is decided already, such as to write it down. That it cannot be done, as on a full disk, is told. */
export async function atBest(work: () => void | Promise<void>, tell: (message: string) => void): Promise<void> {
  try {
    await work()
  } catch (thrown) {
    const error = explainSystemError(thrown)
    if (!(error instanceof HoldfastError)) throw error
    tell(error.message)
  }
}

/** Writes down what is decided already. @param decided as the begin of a sentence */
export function keepBooks({ story }: Pick<InstalledApp, 'story'>, decided: string, write: () => void | Promise<void>): Promise<void> {
  return atBest(write, (message) => story.tell('record-incomplete', `${decided}, but not all of it could be written down: ${message}`))
}
