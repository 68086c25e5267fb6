// Hono on its node adapter, with the shutdown of its documentation, and an event stream.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { streamSSE } from 'hono/streaming'

const app = new Hono()

app.get('/', (context) => context.text(`hello from ${process.pid}\n`))
app.post('/', async (context) => context.text(`${(await context.req.arrayBuffer()).byteLength} bytes, answered from ${process.pid}\n`))
app.get('/slow', async (context) => {
  await new Promise((resolve) => setTimeout(resolve, 1000))
  return context.text(`slow from ${process.pid}\n`)
})
app.get('/ticks', (context) =>
  streamSSE(context, async (stream) => {
    stream.onAbort(() => console.log('a client of /ticks has gone'))
    for (let tick = 0; !stream.aborted; tick++) {
      await stream.writeSSE({ id: String(tick), event: 'tick', data: String(process.pid), retry: 500 })
      await stream.sleep(100)
    }
  }),
)

const server = serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000) })

process.on('SIGTERM', () => {
  console.log('SIGTERM: closing')
  server.close((error) => {
    if (error) {
      console.error(error)
      process.exit(1)
    }
    console.log('server closed')
    process.exit(0)
  })
})
