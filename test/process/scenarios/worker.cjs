// No listener, no module syntax.
console.log('evaluating')
const end = Date.now() + 200
while (Date.now() < end);
setInterval(() => {}, 60_000)
console.log('evaluated')
