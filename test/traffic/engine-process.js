// @ts-check
/** The engine in a process of its own: `traffic.js` forks this, so that a busy test does not slow the clients. */
import { runEngine } from './engine.js'

/** @type {ReturnType<typeof runEngine> | undefined} */
let engine

process.on('message', async (/** @type {import('./traffic.js').Order} */ order) => {
  try {
    if (order.do === 'start') {
      engine = runEngine(order.options, (records) => process.send?.({ records }))
    } else {
      await engine?.stop(order.deadlineMs)
      process.send?.({ stopped: true }, () => process.disconnect())
    }
  } catch (error) {
    process.send?.({ error: String(error) }, () => process.exit(1))
  }
})

// The one that wants the traffic is gone.
process.on('disconnect', () => process.exit(0))
// A Ctrl-C goes to the whole foreground group; the parent decides what becomes of its traffic.
process.on('SIGINT', () => {})
