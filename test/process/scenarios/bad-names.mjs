// A misspelled name, and a name twice.
import http from 'node:http'
import { listen } from 'holdfast'

const fail = (error) => console.log(`${error.code}: ${error.message}`)
await listen(http.createServer(), 'htpp').catch(fail)
await listen(http.createServer(), 'http')
await listen(http.createServer(), 'http').catch(fail)
console.log('done')
