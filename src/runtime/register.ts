/**
 * `node --import holdfast/register server.js`: a release of an unmodified app. `listen()` takes the inherited socket, READY=1 is
 * sent when all of them listen (without any: when the main module has been evaluated, top-level awaits included), SIGTERM
 * drains. Outside systemd, in worker threads and in child processes it does nothing.
 */
import { sharedRuntime } from './shared.js'

sharedRuntime().preload()
