// Keeps exit() aside in every way, puts its own around it, and replaces process.emit; uses one of them at SIGUSR2.
import http from 'node:http'
import process, { exit as imported } from 'node:process'

const { exit: taken, emit } = process
process.exit = (code) => {
  console.log('app: its own exit()')
  taken(code)
}
process.emit = function (...args) {
  return emit.apply(this, args)
}
http
  .createServer((request, response) => {
    const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms') ?? 0)
    setTimeout(() => response.end('hello'), ms)
  })
  .listen(3000)
const exits = { imported, taken, own: (code) => process.exit(code) }
process.on('SIGUSR2', () => {
  console.log('app: exits')
  exits[process.env.EXIT](5)
})
