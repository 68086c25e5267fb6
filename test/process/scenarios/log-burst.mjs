// Logs more than anybody reads, in one turn of the event loop, and goes on.
import { log } from 'holdfast'

for (let n = 0; n < Number(process.env.ENTRIES); n++) log.info(`entry ${n} ${'x'.repeat(1000)}.`)
process.send('alive')
process.once('message', () => {
  const look = setInterval(() => {
    const { writableLength, destroyed } = process.stdout
    if (writableLength > 0 && !destroyed) return
    clearInterval(look)
    log.info('the last entry')
    process.disconnect()
  }, 5)
})
