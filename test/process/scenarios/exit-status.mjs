// At SIGUSR2 it asks to exit: with each of the numbers in EXITS, in turn, or without one (`none`); EXIT_CODE becomes process.exitCode.
// With HANDLER=1 it hears SIGTERM as well, and only says so.
import http from 'node:http'

http
  .createServer((request, response) => {
    const ms = Number(new URL(request.url, 'http://localhost').searchParams.get('ms') ?? 0)
    setTimeout(() => response.end('hello'), ms)
  })
  .listen(3000)
if (process.env.HANDLER) process.on('SIGTERM', () => console.log('app: heard'))
process.on('SIGUSR2', () => {
  if (process.env.EXIT_CODE) process.exitCode = Number(process.env.EXIT_CODE)
  for (const code of process.env.EXITS.split(' ')) process.exit(...(code === 'none' ? [] : [Number(code)]))
  console.log('app: goes on')
})
