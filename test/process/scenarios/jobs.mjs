// Jobs as the environment says; each ends on the signal of its own, or never.
import { draining, instance, job, onDrain } from 'holdfast'

const untilSignal = (name) => new Promise((resolve) => process.once(name, resolve))
const tell = (text) => console.log(`app: ${text}`)
const keep = setInterval(() => {}, 60_000)

const start = {
  async one() {
    tell(`result ${await job('nightly-report', () => untilSignal('SIGUSR2').then(() => 42))}`)
  },
  async late() {
    draining.addEventListener('abort', () => void job('taken just before', () => untilSignal('SIGUSR2')))
    onDrain(() => Promise.resolve())
  },
  async deadline() {
    const hard = job('saves', async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      tell(`saved: ${signal.reason.message}`)
    })
    void job('ignores', () => new Promise(() => {}))
    void job('throws in its listener', ({ signal }) => {
      process.once('uncaughtException', (error) => tell(`uncaught: ${error.message}`))
      signal.addEventListener('abort', () => {
        throw new Error('from a listener')
      })
      return new Promise(() => {})
    })
    await hard
  },
  async silent() {
    void job('mute', ({ signal }) => {
      signal.addEventListener('abort', () => tell(`mute: ${signal.reason.message}`))
      return new Promise(() => {})
    }, { heartbeatTimeoutMs: 500 })
    void job('alive', ({ heartbeat }) => {
      const timer = setInterval(heartbeat, 50)
      return untilSignal('SIGUSR2').finally(() => clearInterval(timer))
    }, { heartbeatTimeoutMs: 500 })
  },
  async fails() {
    await job('fails', () => untilSignal('SIGUSR2').then(() => Promise.reject(new Error('no paper')))).catch((error) => tell(error.message))
    await job('throws', () => {
      throw new Error('at once')
    }).catch((error) => tell(error.message))
  },
  async many() {
    for (let n = 0; n < 100; n++) await Promise.all(Array.from({ length: 1000 }, () => job('short', async () => {})))
    globalThis.gc()
    const before = process.memoryUsage().heapUsed
    for (let n = 0; n < 100; n++) await Promise.all(Array.from({ length: 1000 }, () => job('short', async ({ signal }) => signal.aborted)))
    globalThis.gc()
    tell(`grown by ${Math.round((process.memoryUsage().heapUsed - before) / 1024)} KiB`)
  },
  async outside() {
    tell(`instance ${instance}`)
    tell(await job('a', ({ signal, heartbeat }) => {
      heartbeat()
      return `aborted ${signal.aborted}`
    }))
    tell(await job('b', () => 1, { heartbeatTimeoutMs: -1 }).catch((error) => error.name))
    clearInterval(keep)
  },
}
const begun = start[process.env.KIND]()
tell('begun')
await begun
