import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'

const materials = ['hemp', 'manila', 'nylon', 'steel', 'bronze', 'oak', 'canvas', 'brass', 'teak', 'linen']
const things = ['rope', 'anchor', 'cleat', 'block', 'shackle', 'lantern', 'compass', 'sail', 'oar', 'fender']
const perPage = 200
const pageMs = 40

/**
 * Loads the catalogue page by page, as from a slow database, and builds the search index. About one second: a page
 * takes 40 ms, of which the indexing is real work and the rest is waiting.
 */
export async function loadCatalogue(pages) {
  const products = []
  const index = new Map()
  for (let page = 0; page < pages; page++) {
    const arrival = delay(pageMs)
    for (const product of makePage(page)) {
      products.push(product)
      for (const word of wordsOf(product)) {
        const found = index.get(word)
        if (found === undefined) index.set(word, [product.id])
        else found.push(product.id)
      }
    }
    await arrival
  }
  return { products, search: (word) => (index.get(word.toLowerCase()) ?? []).map((id) => products[id]) }
}

function makePage(page) {
  return Array.from({ length: perPage }, (_, nth) => {
    const id = page * perPage + nth
    // A description of some words that is the same at every start.
    const text = createHash('sha512').update(`product ${id}`).digest('hex').match(/.{4}/g).join(' ')
    const name = `${materials[id % 10]} ${things[Math.floor(id / 10) % 10]} no. ${id}`
    return { id, name, text, cents: 100 + ((id * 7919) % 99_900) }
  })
}

/** Every prefix of every word, so that a search finds while one types. */
function* wordsOf({ name, text }) {
  for (const word of `${name} ${text}`.split(' ')) {
    for (let length = 2; length <= word.length; length++) yield word.slice(0, length)
  }
}
