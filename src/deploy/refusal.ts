import { HoldfastError } from '../errors.js'

/** The machine is not as it must be; nothing was changed. */
export const unfit = (message: string, hint: string): HoldfastError => new HoldfastError('machine-unfit', message, { hint })

/** The configuration asks for what cannot be; nothing was changed. */
export const invalid = (message: string, hint: string): HoldfastError => new HoldfastError('config-invalid', message, { hint })
