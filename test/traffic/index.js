// @ts-check
export { startTraffic, Traffic, defaultClients } from './traffic.js'
export { Ledger } from './ledger.js'
export { makeTarget } from './target.js'
export { makeCertificate } from './certificate.js'
