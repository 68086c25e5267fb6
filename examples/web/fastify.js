// Fastify, stopped by close-with-grace as its own command line does it; close() answers 503 from then on, its default.
import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'

const app = Fastify({ logger: true, forceCloseConnections: true })
app.addContentTypeParser('*', { parseAs: 'buffer' }, async (request, body) => body)
const quiet = { logLevel: 'warn' } // no line for each request

app.addHook('onClose', async () => app.log.info('onClose: closing the database'))

app.get('/', quiet, async () => `hello from ${process.pid}\n`)
app.post('/', quiet, async (request) => `${request.body.length} bytes, answered from ${process.pid}\n`)
app.get('/slow', quiet, async () => {
  await new Promise((resolve) => setTimeout(resolve, 1000))
  return `slow from ${process.pid}\n`
})

closeWithGrace({ delay: 500 }, async ({ signal, err }) => {
  if (err) app.log.error({ err }, 'closing with an error')
  else app.log.info(`${signal} received, closing`)
  await app.close()
})

await app.listen({ port: Number(process.env.PORT ?? 3000), host: process.env.HOST ?? '0.0.0.0' })
