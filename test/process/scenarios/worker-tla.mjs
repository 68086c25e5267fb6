// No listener; the main module awaits something at its top level.
console.log('evaluating')
const still = setInterval(() => console.log('still'), 300)
await new Promise((resolve) => process.once('SIGUSR2', resolve))
clearInterval(still)
setInterval(() => {}, 60_000)
console.log('evaluated')
