import type { Scope } from './paths.js'

/** How the commands of a scope begin, in the hints of errors and in what people are told to type. */
interface InScope {
  scope: Scope
}

export const holdfastCommand = ({ scope }: InScope): string => withUser('holdfast', scope)
export const systemctlCommand = ({ scope }: InScope): string => withUser('systemctl', scope)
export const journalctlCommand = ({ scope }: InScope): string => withUser('journalctl', scope)

const withUser = (program: string, scope: Scope): string => (scope === 'user' ? `${program} --user` : program)
