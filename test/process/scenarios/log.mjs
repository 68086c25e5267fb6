// Every value that has ever broken a logger.
import { log } from 'holdfast'

const circular = { name: 'c' }
circular.self = circular
const hostile = new Proxy({}, { ownKeys() { throw new Error('no keys') } })
const unprintable = { toString() { throw new Error('no text') }, [Symbol.toPrimitive]() { throw new Error('no') } }
const stackless = new Error('no stack')
delete stackless.stack
stackless.stack = undefined
log.info('plain', { requestId: 'r-1', tookMs: 5, when: new Date(0) })
for (const value of [null, undefined, circular, hostile, unprintable, stackless, new Error('x'), new Map([['a', 1]]), 'a\u0000b', 10n, Symbol('s'), () => 1, 'x'.repeat(1e6), new Date(NaN)]) {
  log.warn(value, { value, error: value })
  log.error('fields', value)
}
log.info('survived')
