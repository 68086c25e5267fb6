import type { Config, Listener } from '../../config/model.js'

/** No listener can have this name: `checkListenerName` keeps it. */
const previewName = 'preview'

/** Every socket that systemd opens for an app: its listeners, and the one of its preview as if it were one, named `preview`. */
export const openedSockets = ({ listen, preview: { address } }: Pick<Config, 'listen' | 'preview'>): Listener[] =>
  address === undefined ? listen : [...listen, { name: previewName, address }]

/** The key of the configuration that a socket's address comes from. */
export const addressKey = (name: string): string => (name === previewName ? 'preview.address' : `listen.${name}`)
