// Hooks for each kind of connection in place of what the drain does by itself.
import { onDrain } from 'holdfast'

onDrain('request', ({ response }, { reason }) => void response.end(`polled, ${reason}`))
onDrain('event-stream', async ({ response, close }) => {
  response.write('event: moving\ndata: soon\n\n')
  await new Promise((resolve) => setTimeout(resolve, 300))
  close()
})
onDrain('websocket', ({ request, socket }) => {
  socket.write(`moving ${request.url}`)
  socket.end()
})
onDrain('tunnel', ({ close }) => close())
for (const wrong of [['web-socket', () => {}], ['websocket'], []]) {
  try {
    onDrain(...wrong)
  } catch (error) {
    console.log(`${error.name}: ${error.message}`)
  }
}
await import('./long-lived.mjs')
