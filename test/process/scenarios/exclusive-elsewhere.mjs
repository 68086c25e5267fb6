// The same name in a worker thread, a worker of node:cluster and a child process of one instance: one at a time.
import { fork } from 'node:child_process'
import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import { isMainThread, Worker } from 'node:worker_threads'
import { exclusive } from 'holdfast'

const file = fileURLToPath(import.meta.url)
const where = !isMainThread ? 'thread' : process.env.CHILD ? 'child' : cluster.isWorker ? 'cluster worker' : 'main'
if (where === 'main') {
  new Worker(file, { execArgv: [] })
  fork(file, { env: { ...process.env, CHILD: '1' }, execArgv: [] })
  cluster.setupPrimary({ exec: file, execArgv: [] })
  cluster.fork()
}
const work = exclusive('one', async () => {
  console.log(`${where} begins`)
  await new Promise((resolve) => setTimeout(resolve, 100))
  console.log(`${where} ends`)
})
await work
if (where === 'main') setInterval(() => {}, 60_000)
else if (where === 'cluster worker') process.disconnect()
