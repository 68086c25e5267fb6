// @ts-check
/** Many WebSockets in one process: `crowd.js` forks this. Each comes back at once when it was closed, whatever for. */
import { WebSocket } from 'ws'

/** @typedef {import('./crowd.js').CrowdEvent} CrowdEvent */

/** @type {CrowdEvent[]} */
let unreported = []
const note = (/** @type {CrowdEvent} */ event) => void unreported.push(event)
const nowMs = () => performance.timeOrigin + performance.now()
setInterval(() => {
  if (unreported.length > 0) process.send?.(unreported.splice(0))
}, 50)

/**
 * @param {string} url
 * @returns {Promise<void>} settles when it is open or has failed
 */
function connect(url) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { perMessageDeflate: false })
    let isOpen = false
    socket.on('open', () => {
      isOpen = true
      socket.send('who is there?')
      resolve()
    })
    socket.on('message', (data) => note({ kind: 'open', atMs: nowMs(), generation: JSON.parse(String(data)).generation }))
    socket.on('error', (error) => {
      if (!isOpen) note({ kind: 'failed', atMs: nowMs(), message: error.message })
      resolve()
    })
    socket.on('close', (code) => {
      if (!isOpen) return
      note({ kind: 'closed', atMs: nowMs(), code })
      void connect(url)
    })
  })
}

process.on('message', async (/** @type {{ url: string, count: number }} */ { url, count }) => {
  const openAtOnce = 50 // no more wait to be accepted
  let left = count
  const open = async () => {
    while (left-- > 0) await connect(url)
  }
  await Promise.all(Array.from({ length: openAtOnce }, open))
})
process.on('disconnect', () => process.exit(0))
