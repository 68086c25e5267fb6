import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { loadCatalogue } from './catalogue.js'

const { version } = readJson('package.json')
const settings = readJson('shop.json')

const catalogue = await loadCatalogue(settings.pages)
const money = new Intl.NumberFormat('en', { style: 'currency', currency: settings.currency })

const products = JSON.stringify(catalogue.products.slice(0, 40).map((product) => describe(product)))
const home = `<!doctype html>
<title>${settings.name}</title>
<h1>${settings.name}</h1>
<p>Release ${version}. <a href="/products">Products</a>, <a href="/export">the whole price list</a>.</p>
<form action="/search"><input name="q" value="anchor"><button>Search</button></form>
`
// A price list that takes 5 seconds to download, as over a slow line.
const exportLines = catalogue.products.map(({ id, name, cents }) => `${id};${name};${money.format(cents / 100)}\n`)
const exportDigest = digest(exportLines.join(''))
const exportMs = 5_000
const exportParts = 25
let orders = 0

const server = http.createServer((request, response) => {
  // For whoever measures: which release answered, and which start of it.
  response.setHeader('x-release', version)
  response.setHeader('x-generation', process.env.HOLDFAST_GENERATION ?? '0')
  const url = new URL(request.url, 'http://shop')
  switch (`${request.method} ${url.pathname}`) {
    case 'GET /':
      return send(response, 200, 'text/html; charset=utf-8', home)
    case 'GET /products':
      return send(response, 200, 'application/json', products)
    case 'GET /search': {
      const found = catalogue.search(url.searchParams.get('q') ?? '')
      return send(response, 200, 'application/json', JSON.stringify(found.slice(0, 40).map((product) => describe(product))))
    }
    case 'POST /orders':
      return takeOrder(request, response)
    case 'GET /export':
      return sendExport(response)
    case 'GET /healthz':
      return send(response, 200, 'text/plain', 'ok\n')
    default:
      return send(response, 404, 'text/plain', 'There is nothing here.\n')
  }
})

const port = process.env.PORT ?? 3000
server.listen(port, () => console.log(`${settings.name} ${version} is open, ${catalogue.products.length} products`))

function send(response, status, type, body) {
  const length = Buffer.byteLength(body)
  response.writeHead(status, { 'content-type': type, 'content-length': length, 'content-digest': digest(body) })
  response.end(body)
}

/** The receipt proves that this very order was read: its length and its checksum. */
function takeOrder(request, response) {
  const hash = createHash('sha256')
  let bytes = 0
  request.on('data', (chunk) => {
    bytes += chunk.length
    hash.update(chunk)
  })
  request.on('end', () => {
    const receipt = { order: ++orders, bytes, sha256: hash.digest('hex') }
    send(response, 201, 'application/json', JSON.stringify(receipt))
  })
}

async function sendExport(response) {
  response.writeHead(200, { 'content-type': 'text/csv; charset=utf-8', 'content-digest': exportDigest })
  const size = Math.ceil(exportLines.length / exportParts)
  for (let part = 0; part < exportParts && !response.destroyed; part++) {
    response.write(exportLines.slice(part * size, (part + 1) * size).join(''))
    await delay(exportMs / exportParts)
  }
  response.end()
}

function describe({ id, name, cents }) {
  return { id, name, price: money.format(cents / 100) }
}

/** RFC 9530. */
function digest(body) {
  return `sha-256=:${createHash('sha256').update(body).digest('base64')}:`
}

function readJson(name) {
  return JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'))
}
