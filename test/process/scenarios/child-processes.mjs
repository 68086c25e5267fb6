// Starts every kind of helper with the same preload; each reports what the runtime did to it.
import { fork, spawn } from 'node:child_process'
import cluster from 'node:cluster'
import net from 'node:net'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { listeners, ready } from 'holdfast'

const self = process.argv[1]
if (isMainThread && process.env.HELPER === undefined && cluster.isPrimary) {
  const env = { ...process.env, HELPER: '1' }
  new Worker(new URL(import.meta.url), { env }).on('message', (text) => console.log(text))
  fork(self, { env })
  spawn(process.execPath, [...process.execArgv, self], { env, stdio: 'inherit' })
  cluster.fork(env)
  setInterval(() => {}, 60_000)
} else {
  const patched = net.Server.prototype.listen.toString().includes('...args') && !/normalizeArgs/.test(net.Server.prototype.listen.toString())
  const listen = listeners()[0]?.name ?? null
  const text = `helper:${JSON.stringify({ worksForPrimary: cluster.isWorker, patched, listen, ready: ready() })}`
  if (isMainThread) console.log(text)
  else parentPort.postMessage(text)
  if (cluster.isWorker) cluster.worker.disconnect()
}
