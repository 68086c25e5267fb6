// An app in cluster mode: a primary, and WORKERS (2) that run the scenario SERVER. ON_SIGTERM says what the primary's own handler does
// with its workers (`kill`, `disconnect`), REFORK=1 replaces each that ends, BARE=1 forks them without the preload, BUSY=1 keeps
// the primary's event loop busy, HOLD=1 gives it a drain hook that lasts until SIGHUP, SIGUSR2 forks
// one more; BLOCKED=1 stops that one as soon as its runtime has said hello.
import cluster from 'node:cluster'

if (cluster.isPrimary) {
  const { ON_SIGTERM, REFORK, BARE, BUSY, HOLD, BLOCKED, WORKERS } = process.env
  const say = (what) => console.log(`app: ${what}`)
  if (BARE) cluster.setupPrimary({ execArgv: [] })
  cluster.on('online', (worker) => say(`forked ${worker.process.pid}`))
  cluster.on('message', (worker, message) => say(`message ${JSON.stringify(message)}`))
  cluster.on('exit', (worker, code, signal) => {
    say(`ended ${worker.process.pid} ${signal ?? code}`)
    if (REFORK) cluster.fork()
    else if (Object.keys(cluster.workers).length === 0 && ON_SIGTERM === 'kill') process.exit(3)
  })
  if (BUSY) setInterval(() => { for (const end = Date.now() + 50; Date.now() < end; ); }, 1)
  if (HOLD) {
    const { onDrain } = await import('holdfast')
    onDrain(() => new Promise((resolve) => process.once('SIGHUP', resolve)))
  }
  process.on('SIGUSR2', () => {
    const worker = cluster.fork()
    if (BLOCKED) worker.process.prependListener('internalMessage', ({ act }) => act === 'hello' && worker.process.kill('SIGSTOP'))
  })
  if (ON_SIGTERM) {
    process.on('SIGTERM', () => {
      say('heard')
      if (ON_SIGTERM === 'disconnect') cluster.disconnect(() => process.exit(4))
      else for (const worker of Object.values(cluster.workers)) worker.kill()
    })
  }
  for (let index = 0; index < Number(WORKERS ?? 2); index++) cluster.fork()
} else {
  process.on('message', (message) => process.send(message))
  await import(`./${process.env.SERVER ?? 'http.mjs'}`)
}
