// Koa, stopped by http-terminator.
import httpTerminator from 'http-terminator'
import Koa from 'koa'

const app = new Koa()

app.use(async (context) => {
  if (context.path === '/slow') await new Promise((resolve) => setTimeout(resolve, 1000))
  let length = 0
  for await (const piece of context.req) length += piece.length
  context.body = `${context.method} of ${length} bytes, answered from ${process.pid}\n`
})

const server = app.listen(process.env.PORT ?? 3000)
const terminator = httpTerminator.createHttpTerminator({ server, gracefulTerminationTimeout: 500 })

process.once('SIGTERM', async () => {
  console.log('SIGTERM: terminating')
  await terminator.terminate()
  console.log('terminated')
  process.exit(0)
})
