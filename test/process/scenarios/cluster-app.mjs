// An app in cluster mode: a primary with two workers that run the scenario SERVER. ON_SIGTERM says what the primary's own handler does
// (`kill` or `disconnect` its workers), REFORK=1 has it replace each worker that ends, SIGUSR2 has it fork one more.
import cluster from 'node:cluster'

if (cluster.isPrimary) {
  const say = (what) => console.log(`app: ${what}`)
  cluster.on('online', (worker) => say(`forked ${worker.process.pid}`))
  cluster.on('message', (worker, message) => say(`message ${JSON.stringify(message)}`))
  cluster.on('exit', (worker, code, signal) => {
    say(`ended ${worker.process.pid} ${signal ?? code}`)
    if (process.env.REFORK) cluster.fork()
    else if (Object.keys(cluster.workers).length === 0 && process.env.ON_SIGTERM === 'kill') process.exit(3)
  })
  process.on('SIGUSR2', () => cluster.fork())
  if (process.env.ON_SIGTERM) {
    process.on('SIGTERM', () => {
      say('heard')
      if (process.env.ON_SIGTERM === 'disconnect') cluster.disconnect(() => process.exit(4))
      else for (const worker of Object.values(cluster.workers)) worker.kill()
    })
  }
  for (let index = 0; index < 2; index++) cluster.fork()
} else {
  process.on('message', (message) => process.send(message))
  await import(`./${process.env.SERVER ?? 'http.mjs'}`)
}
