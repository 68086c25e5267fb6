import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

// Packages lie one folder up.
const root = dirname(dirname(fileURLToPath(import.meta.url)))

export default { output: 'standalone', outputFileTracingRoot: root, turbopack: { root }, images: { unoptimized: true } }
