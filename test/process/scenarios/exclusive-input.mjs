// What exclusive() makes of bad input and of work that ends or fails by itself.
import { draining, exclusive } from 'holdfast'

const tell = (what, promise) => promise.then((value) => console.log(`${what}: settled ${value}`), (error) => console.log(`${what}: ${error.name}: ${error.message}`))

await tell('no name', exclusive(undefined, () => {}))
await tell('empty name', exclusive('', () => {}))
await tell('no function', exclusive('a'))
await tell('huge name', exclusive('x'.repeat(100_000), () => console.log('huge runs')))
await tell('lines', exclusive('a\nb\0c', () => console.log('lines runs')))
await tell('result', exclusive('result', () => 42))
await tell('throws', exclusive('throws', () => {
  throw new Error('at once')
}))
await tell('rejects', exclusive('rejects', async () => {
  throw new Error('later')
}))
// One that has ended is free again, for this process and for others.
await tell('again', exclusive('rejects', () => {}))

let end
const ended = new Promise((resolve) => (end = resolve))
const first = exclusive('twice', () => ended)
await tell('second', exclusive('twice', () => console.log('second runs')))
end()
await tell('first', first)
console.log('done')
draining.addEventListener('abort', () => void tell('in the drain', exclusive('late', () => console.log('late runs'))))
setInterval(() => {}, 60_000)
