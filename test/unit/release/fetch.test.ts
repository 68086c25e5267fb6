import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { rootCertificates } from 'node:tls'
import { HoldfastError } from '../../../src/errors.js'
import { fetchAddress } from '../../../src/release/address.js'
import { findChecksum } from '../../../src/release/checksum-file.js'
import { explainDownloadError } from '../../../src/release/download.js'
import { trustedCertificates } from '../../../src/release/trusted-certificates.js'
import { fetchSource } from '../../../src/release/fetch.js'
import type { FetchOptions, SourceSpec } from '../../../src/release/source-spec.js'

let certificates: string
let key: string
let certificate: string
beforeAll(() => {
  certificates = mkdtempSync(join(tmpdir(), 'holdfast-tls-'))
  const [keyFile, certificateFile] = [join(certificates, 'key'), join(certificates, 'cert')]
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile, '-out', certificateFile,
    '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost',
  ], { stdio: 'ignore' })
  key = readFileSync(keyFile, 'utf8')
  certificate = readFileSync(certificateFile, 'utf8')
})
afterAll(() => rmSync(certificates, { recursive: true }))

let folder: string
let staging: string
const servers: Server[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-fetch-'))
  staging = join(folder, 'staging')
  mkdirSync(staging)
})
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
  rmSync(folder, { recursive: true })
  delete process.env['NODE_EXTRA_CA_CERTS']
})

const content = Buffer.from('a release, in a manner of speaking\n'.repeat(1000))
const sha256 = hash(content)

function hash(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Starts a server on loopback, of https where asked; its address without a path. */
async function serve(listener: RequestListener, { tls = false } = {}): Promise<string> {
  const server = tls ? createTlsServer({ key, cert: certificate }, listener) : createServer(listener)
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`
}

const options = (more: Partial<FetchOptions> = {}): FetchOptions => ({ limitBytes: 1 << 20, state: join(folder, 'state'), ...more })

const fetchUrl = (url: string, more: Partial<FetchOptions> = {}) => fetchSource({ kind: 'address', url, sha256 }, staging, options(more))

async function refuse(fetching: Promise<unknown>): Promise<HoldfastError> {
  const error = await fetching.then(() => new Error('nothing was thrown'), (reason: unknown) => reason)
  if (!(error instanceof HoldfastError)) throw error
  expect(readdirSync(staging).filter((name) => name !== 'archive')).toEqual([])
  return error
}

describe('an archive file', () => {
  test('is copied, and hashed', async () => {
    const path = join(folder, 'shop.tgz')
    writeFileSync(path, content)
    const file = join(staging, 'archive')
    expect(await fetchSource({ kind: 'archive', path, name: 'shop.tgz', sha256: sha256.toUpperCase() }, staging, options())).toEqual({
      kind: 'archive', file, source: { kind: 'archive', name: 'shop.tgz', sha256 },
    })
    writeFileSync(path, 'something else')
    expect(readFileSync(file)).toEqual(content)
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  test('that was spooled already stays where it is', async () => {
    const file = join(staging, 'archive')
    writeFileSync(file, content)
    const { ino } = statSync(file)
    expect(await fetchSource({ kind: 'archive', path: file, name: 'standard input' }, staging, options())).toMatchObject({ file, source: { name: 'standard input', sha256 } })
    expect(statSync(file).ino).toBe(ino)
  })

  test('that is another one', async () => {
    const path = join(folder, 'shop.tgz')
    writeFileSync(path, 'x')
    const error = await refuse(fetchSource({ kind: 'archive', path, name: 'shop.tgz', sha256 }, staging, options()))
    expect(error).toMatchObject({ code: 'fetch-failed', message: `shop.tgz is not what was asked for: its SHA-256 is ${hash('x')}, expected was ${sha256}` })
  })

  test('that changes while it is read', async () => {
    const path = join(folder, 'shop.tgz')
    writeFileSync(path, content)
    const error = await refuse(fetchSource({ kind: 'archive', path, name: 'shop.tgz' }, staging, options({ onProgress: () => writeFileSync(path, 'x'.repeat(content.length)) })))
    expect(error.message).toBe(`${path} was changed while it was read`)
  })

  test('past the limit', async () => {
    const path = join(folder, 'shop.tgz')
    writeFileSync(path, content)
    const error = await refuse(fetchSource({ kind: 'archive', path, name: 'shop.tgz' }, staging, options({ limitBytes: 1024 })))
    expect(error.message).toBe(`${path} is ${content.length} bytes, and more than 1K, the most that is taken`)
  })

  test('that is none: a pipe, a folder, nothing; a link is followed', async () => {
    execFileSync('mkfifo', [join(folder, 'pipe')])
    symlinkSync('real', join(folder, 'link'))
    const take = (name: string) => fetchSource({ kind: 'archive', path: join(folder, name), name }, staging, options())
    expect((await refuse(take('pipe'))).message).toContain('is no regular file, not an archive')
    expect((await refuse(take('staging'))).message).toContain('is a folder, not an archive')
    expect((await refuse(take('link'))).message).toContain('there is no file')
    writeFileSync(join(folder, 'real'), content)
    expect(await take('link')).toMatchObject({ source: { sha256 } })
  })

  test('a SHA-256 that is none', async () => {
    expect(await refuse(fetchSource({ kind: 'archive', path: '/none', name: 'x', sha256: 'abc' }, staging, options()))).toMatchObject({ code: 'usage' })
  })
})

describe('a folder', () => {
  test('stays where it is', async () => {
    expect(await fetchSource({ kind: 'directory', path: folder }, staging, options())).toEqual({ kind: 'directory', path: folder, source: { kind: 'directory', path: folder, snapshot: true } })
    expect((await refuse(fetchSource({ kind: 'directory', path: join(folder, 'none') }, staging, options()))).code).toBe('fetch-failed')
  })
})

describe('an address', () => {
  test('is fetched, with progress, and recorded without what may be secret', async () => {
    const seen: { url: string | undefined; authorization: string | undefined }[] = []
    const origin = await serve((request, response) => {
      seen.push({ url: request.url, authorization: request.headers.authorization })
      response.setHeader('content-length', content.length)
      response.end(content)
    })
    const progress: unknown[] = []
    const address = `${origin.replace('//', '//me:pass%20word@')}/a/shop%2B1.tgz?token=secret`
    const fetched = await fetchUrl(address, { onProgress: (one) => progress.push(one) })
    expect(fetched).toEqual({ kind: 'archive', file: join(staging, 'archive'), source: { kind: 'archive', name: 'shop+1.tgz', url: `${origin}/a/shop%2B1.tgz`, sha256 } })
    expect(progress.at(-1)).toEqual({ bytes: content.length, totalBytes: content.length })
    expect(seen).toEqual([{ url: '/a/shop%2B1.tgz?token=secret', authorization: `Basic ${Buffer.from('me:pass word').toString('base64')}` }])
  })

  test('of this machine', async () => {
    const path = join(folder, 'shop 1.tgz')
    writeFileSync(path, content)
    const { href } = pathToFileURL(path)
    expect(await fetchUrl(href)).toMatchObject({ source: { name: 'shop 1.tgz', url: href, sha256 } })
  })

  test('that brings something else leaves nothing', async () => {
    const origin = await serve((_request, response) => response.end('x'))
    const error = await refuse(fetchUrl(`${origin.replace('//', '//me:secret@')}/shop.tgz`))
    expect(error.message).toBe(`${origin}/shop.tgz is not what was asked for: its SHA-256 is ${hash('x')}, expected was ${sha256}`)
    expect(readdirSync(staging)).toEqual([])
  })

  test.each<[spec: Partial<SourceSpec>, message: string]>([
    [{ url: 'https://example.com/shop.tgz' }, 'needs a checksum'],
    [{ url: 'https://example.com/shop.tgz', sha256: 'xyz' }, 'is not one'],
    [{ url: 'ftp://me:secret@example.com/shop.tgz', sha256 }, 'ftp://example.com/shop.tgz is no address that can be fetched'],
    [{ url: 'file://other/shop.tgz', sha256 }, 'names no file of this machine'],
  ])('that cannot be: %j', async (spec, message) => {
    const error = await refuse(fetchSource({ kind: 'address', ...spec } as SourceSpec, staging, options()))
    expect(error.code).toBe('usage')
    expect(error.message).toContain(message)
  })

  test('http from elsewhere is not asked', async () => {
    expect((await refuse(fetchUrl('http://192.0.2.1/shop.tgz'))).message).toContain('only https:// is, and http:// from this machine')
  })
})

describe('TLS', () => {
  test('a certificate of an authority that was added, and one of nobody', async () => {
    const origin = await serve((_request, response) => response.end(content), { tls: true })
    const error = await refuse(fetchUrl(`${origin}/shop.tgz`))
    expect(error).toMatchObject({ code: 'fetch-failed', message: expect.stringContaining('TLS failed: self-signed certificate'), hint: expect.stringContaining('update-ca-certificates') })
    process.env['NODE_EXTRA_CA_CERTS'] = join(certificates, 'cert')
    expect(await fetchUrl(`${origin}/shop.tgz`)).toMatchObject({ source: { url: `${origin}/shop.tgz` } })
  })

  test('a certificate of another name', async () => {
    process.env['NODE_EXTRA_CA_CERTS'] = join(certificates, 'cert')
    const origin = await serve((_request, response) => response.end(content), { tls: true })
    expect((await refuse(fetchUrl(`${origin.replace('localhost', '127.0.0.1')}/shop.tgz`))).message).toContain('ERR_TLS_CERT_ALTNAME_INVALID')
  })

  test('no redirect leads out of it', async () => {
    process.env['NODE_EXTRA_CA_CERTS'] = join(certificates, 'cert')
    const plain = await serve((_request, response) => response.end(content))
    const origin = await serve((_request, response) => response.writeHead(302, { location: `${plain}/x?token=secret` }).end(), { tls: true })
    expect((await refuse(fetchUrl(`${origin}/shop.tgz`))).message).toBe(`${origin}/shop.tgz redirects from https to ${plain}/x, which is not followed`)
  })
})

describe('redirects', () => {
  test('are followed five times; credentials stay with their server', async () => {
    const seen: [string | undefined, string | undefined][] = []
    const other = await serve((request, response) => {
      seen.push([request.url, request.headers.authorization])
      response.end(content)
    })
    let port = ''
    const origin = await serve((request, response) => {
      seen.push([request.url, request.headers.authorization])
      const step = Number(request.url?.slice(1))
      const location = step === 5 ? `${other}/end` : step === 2 ? `http://127.0.0.1:${port}/3` : `/${step + 1}`
      response.writeHead([301, 302, 303, 307, 308][step % 5] ?? 302, { location }).end()
    })
    port = new URL(origin).port
    expect(await fetchUrl(`${origin.replace('//', '//me:secret@')}/1`)).toMatchObject({ source: { name: '1', url: `${origin}/1` } })
    const mine = `Basic ${Buffer.from('me:secret').toString('base64')}`
    expect(seen).toEqual([['/1', mine], ['/2', mine], ['/3', mine], ['/4', mine], ['/5', mine], ['/end', undefined]])
    expect((await refuse(fetchUrl(`${origin}/0`).finally(() => rmSync(join(staging, 'archive'), { force: true })))).message).toContain('was redirected 5 times, and then once more')
  })

  test.each([
    ['file:///etc/passwd', 'is not fetched: only https:// is'],
    ['http://192.0.2.1/x', 'is not fetched: only https:// is'],
    ['http://[', 'something that is no address'],
  ])('to %s are not', async (location, message) => {
    const origin = await serve((_request, response) => response.writeHead(302, { location }).end())
    expect((await refuse(fetchUrl(`${origin}/shop.tgz`))).message).toContain(message)
  })

  test('to nowhere are an answer like any other', async () => {
    const origin = await serve((_request, response) => response.writeHead(302).end())
    expect((await refuse(fetchUrl(`${origin}/shop.tgz`))).message).toContain('answered HTTP 302, expected 200')
  })
})

describe('a server that', () => {
  test.each([
    [401, 'the server refuses access (HTTP 401)'],
    [404, 'there is no such file (HTTP 404)'],
    [206, 'answered HTTP 206, expected 200'],
    [503, 'answered HTTP 503, expected 200'],
  ])('answers %i', async (status, message) => {
    const origin = await serve((_request, response) => response.writeHead(status).end(content))
    const error = await refuse(fetchUrl(`${origin}/shop.tgz`))
    expect(error.code).toBe('fetch-failed')
    expect(error.message).toContain(message)
  })

  test('says that it sends too much', async () => {
    let sent = 0
    const origin = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': 1 << 30 })
      response.write(content, () => (sent += 1))
    })
    expect((await refuse(fetchUrl(`${origin}/shop.tgz`, { limitBytes: 1 << 20 }))).message).toContain(`${1 << 30} bytes, and more than 1M`)
    expect(sent).toBeLessThan(2)
  })

  test('sends without end', async () => {
    const origin = await serve((_request, response) => {
      const more = (): void => {
        while (response.write(content));
      }
      response.on('drain', more)
      more()
    })
    expect((await refuse(fetchUrl(`${origin}/shop.tgz`))).message).toContain('is larger than 1M, the most that is taken')
    expect(readdirSync(staging)).toEqual([])
  })

  test('stops in the middle is asked twice more', async () => {
    let requests = 0
    const origin = await serve((_request, response) => {
      requests += 1
      response.setHeader('content-length', content.length)
      if (requests === 3) response.end(content)
      else response.write(content.subarray(0, 5000), () => response.destroy())
    })
    const notes: string[] = []
    expect(await fetchUrl(`${origin}/shop.tgz`, { onNote: (note) => notes.push(note) })).toMatchObject({ source: { sha256 } })
    expect(notes).toEqual([1, 2].map((n) => expect.stringMatching(`^the connection to ${new URL(origin).host} was cut after .*: beginning anew \\(${n} of 2\\)$`)))
  })

  test('always stops in the middle', async () => {
    let requests = 0
    const origin = await serve((_request, response) => {
      requests += 1
      response.writeHead(200, { 'content-length': content.length })
      response.write('x', () => response.destroy())
    })
    expect((await refuse(fetchUrl(`${origin}/shop.tgz`))).message).toBe(`${origin}/shop.tgz: the connection was lost before the end`)
    expect(requests).toBe(3)
    expect(readdirSync(staging)).toEqual([])
  })

  test.each(['before its answer', 'in the middle'])('says nothing %s', async (when) => {
    const origin = await serve((_request, response) => {
      if (when === 'in the middle') response.write('x')
    })
    const error = await refuse(fetchAddress({ kind: 'address', url: `${origin}/shop.tgz`, sha256 }, staging, { ...options(), idleMs: 200 }))
    expect(error.message).toBe(`${origin}/shop.tgz: the server said nothing for 200ms`)
  })

  test.each<[when: string, dribble: (response: import('node:http').ServerResponse) => void]>([
    ['of the file', (response) => void response.write('x')],
    ['before its answer', (response) => void response.socket?.write(response.headersSent ? 'x' : 'HTTP/1.1 200 OK\r\nx-long: ')],
    ['of all but the file', (response) => {
      if (!response.headersSent) response.writeHead(200).write('x')
      response.socket?.write('1;x=y\r\nx\r\n')
    }],
  ])('sends a byte now and then, %s', async (when, dribble) => {
    let timer: NodeJS.Timeout | undefined
    const origin = await serve((_request, response) => {
      if (when === 'before its answer') response.socket?.write('HTTP/1.1 200 OK\r\nx-long: ')
      timer = setInterval(() => (when === 'before its answer' ? response.socket?.write('x') : dribble(response)), 20)
    })
    const error = await refuse(fetchAddress({ kind: 'address', url: `${origin}/shop.tgz`, sha256 }, staging, { ...options(), idleMs: 1000 })).finally(() => clearInterval(timer))
    expect(error.message).toMatch(new RegExp(`^${origin}/shop.tgz: the server sent \\d+ bytes of it in 2s, and 1024 a second are the least$`))
  })

  test('is slow, but fast enough', async () => {
    const pieces = Array.from({ length: 12 }, (_, n) => content.subarray((n * content.length) / 12, ((n + 1) * content.length) / 12))
    const origin = await serve((_request, response) => {
      const timer = setInterval(() => {
        const piece = pieces.shift()
        if (piece !== undefined) return response.write(piece)
        clearInterval(timer)
        return response.end()
      }, 100)
    })
    await fetchAddress({ kind: 'address', url: `${origin}/shop.tgz`, sha256 }, staging, { ...options(), idleMs: 500 })
    expect(readFileSync(join(staging, 'archive'))).toEqual(content)
  })

  test('is led to one that is not there: that one is named', async () => {
    const gone = await serve(() => {})
    servers[0]?.close()
    const origin = await serve((_request, response) => response.writeHead(302, { location: `${gone}/other.tgz` }).end())
    const { message, hint } = await refuse(fetchUrl(`${origin}/shop.tgz`))
    expect(message).toBe(`${origin}/shop.tgz leads to ${gone}/other.tgz: 127.0.0.1 refused the connection on port ${new URL(gone).port}`)
    expect(hint).toContain(`${gone}/other.tgz`)
  })

  test('is led to one that cuts the connection: that one is named', async () => {
    const cut = await serve((_request, response) => response.write('x', () => response.destroy()))
    const origin = await serve((_request, response) => response.writeHead(302, { location: `${cut}/other.tgz` }).end())
    const notes: string[] = []
    await refuse(fetchUrl(`${origin}/shop.tgz`, { onNote: (note) => notes.push(note) }))
    expect(notes[0]).toContain(`the connection to ${new URL(cut).host} was cut`)
  })

  test('is not there', async () => {
    const origin = await serve(() => {})
    servers[0]?.close()
    expect((await refuse(fetchUrl(`${origin}/shop.tgz`))).message).toBe(`${origin}/shop.tgz: 127.0.0.1 refused the connection on port ${new URL(origin).port}`)
  })

  test.each([
    ['ENOTFOUND', 'https://example.com/x: the name example.com cannot be found (ENOTFOUND)'],
    ['EHOSTUNREACH', 'https://example.com/x: example.com cannot be reached (EHOSTUNREACH)'],
    ['EWHATEVER', 'https://example.com/x: said so (EWHATEVER)'],
  ])('fails with %s', (code, message) => {
    const error = explainDownloadError(Object.assign(new Error('said so'), { code }), new URL('https://me:secret@example.com/x?secret'))
    expect(error).toMatchObject({ code: 'fetch-failed', message, hint: expect.not.stringContaining('secret') })
  })
})

/** The words that a shell makes of a hint, and nothing that it runs on the way. */
const shellWords = (hint: string): string => execFileSync('sh', ['-c', `set -- ${hint.replace(/;/g, ' ')}\nprintf '%s\\n' "$@"`], { encoding: 'utf8' })

describe('what a hint has of somebody else', () => {
  test.each([
    ['ECONNREFUSED', `https://example.com/x'$(touch canary)'/y`],
    ['ENOTFOUND', 'https://a$(id)b/x'],
    ['ECONNRESET', 'https://example.com/$(id)'],
    ['EPROTO', `https://example.com/';id;'`],
  ])('runs nothing when it is pasted (%s, %s)', (code, url) => {
    const { hint } = explainDownloadError(Object.assign(new Error('x'), { code }), new URL(url)) as HoldfastError
    expect(shellWords(hint?.replace(/ +#.*$/, '').replace(/'s$/, '') ?? '')).not.toMatch(/uid=/)
    expect(hint).not.toMatch(/^[^']*\$\((?:id|touch)/)
  })

  test('of a checksum file', () => {
    let hint = ''
    try {
      findChecksum('', 'a$(id)\u001b.tgz', 'https://example.com/sums')
    } catch (error) {
      hint = (error as HoldfastError).hint ?? ''
    }
    expect(hint).toBe("write one where the archive is made: sha256sum 'a$(id)\\u001b.tgz' > 'a$(id)\\u001b.tgz.sha256'")
  })
})

describe('the certificates that count', () => {
  const list = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }

  test('are those of the first list with any', () => {
    const lists = [join(folder, 'none'), list('empty', ''), list('damaged', 'BEGIN\n'), list('good', certificate), list('later', `${certificate}# later`)]
    expect(trustedCertificates({}, lists)).toEqual([certificate])
    expect(trustedCertificates({}, lists.slice(0, 3))).toEqual([...rootCertificates])
    expect(trustedCertificates({ NODE_EXTRA_CA_CERTS: list('extra', '') }, lists)).toEqual([certificate])
  })

  test('are those of SSL_CERT_FILE alone', () => {
    const lists = [list('good', certificate)]
    const own = `${certificate}# own`
    expect(trustedCertificates({ SSL_CERT_FILE: list('own', own) }, lists)).toEqual([own])
    expect(trustedCertificates({ SSL_CERT_FILE: '' }, lists)).toEqual([certificate])
    expect(() => trustedCertificates({ SSL_CERT_FILE: list('empty', '') }, lists)).toThrow(expect.objectContaining({ code: 'fetch-failed', message: expect.stringContaining('holds no certificate') }))
  })
})

test('an aborted download ends at once with the reason', async () => {
  const abort = new AbortController()
  const origin = await serve((_request, response) => response.write('x'))
  const reason = new Error('enough')
  await expect(fetchUrl(`${origin}/shop.tgz`, { signal: abort.signal, onProgress: () => abort.abort(reason) })).rejects.toBe(reason)
  expect(readdirSync(staging)).toEqual([])
})

test('a folder that cannot be written to is the system’s refusal', async () => {
  const origin = await serve((_request, response) => response.end(content))
  const error = await fetchSource({ kind: 'address', url: `${origin}/x`, sha256 }, '/proc', options()).catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'system-refused' })
})

describe('a checksum file', () => {
  const other = '0'.repeat(64)
  test.each<[what: string, text: string]>([
    ['one line', `${sha256}  shop.tgz\n`],
    ['binary', `${sha256} *shop.tgz\r\n`],
    ['with --tag', `SHA256 (./dist/shop.tgz) = ${sha256}\n`],
    ['the digits alone', sha256.toUpperCase()],
    ['another name, alone', `${sha256}  dist.tgz\n`],
    ['several', `${other}  shop.zip\n${sha256}  dist/shop.tgz\n${other}  x-shop.tgz\n`],
    ['with a byte order mark', `\ufeff${sha256}  shop.tgz\n${other}  b\n`],
    ['signed', `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n${sha256}  shop.tgz\n-----BEGIN PGP SIGNATURE-----\n\nabc\n`],
    ['twice the same', `${sha256}  shop.tgz\n${sha256}  shop.tgz\n`],
  ])('%s', (_what, text) => {
    expect(findChecksum(text, 'shop.tgz', 'SUMS')).toBe(sha256)
  })

  test.each<[what: string, text: string, message: string]>([
    ['empty', '', 'holds no SHA-256'],
    ['a page', '<html>not found</html>', 'holds no SHA-256'],
    ['of SHA-1', `${'a'.repeat(40)}  shop.tgz`, 'holds no SHA-256'],
    ['of SHA-512', `${'a'.repeat(128)}  shop.tgz`, 'holds no SHA-256'],
    ['of others', `${sha256}  a\n${other}  b`, 'has 2 checksums, and none of shop.tgz'],
    ['two opinions', `${sha256}  shop.tgz\n${other}  shop.tgz`, 'has 2 different checksums of shop.tgz'],
  ])('%s', (_what, text, message) => {
    let error: unknown
    try {
      findChecksum(text, 'shop.tgz', 'SUMS')
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ code: 'fetch-failed', message: expect.stringContaining(message) })
  })

  test('is fetched first', async () => {
    const asked: (string | undefined)[] = []
    const origin = await serve((request, response) => {
      asked.push(request.url)
      response.end(request.url === '/shop.tgz' ? content : `\ufeff${other}  x\n${sha256}  shop.tgz\n`)
    })
    const progress: number[] = []
    const spec: SourceSpec = { kind: 'address', url: `${origin}/shop.tgz`, checksumUrl: `${origin}/SUMS` }
    expect(await fetchSource(spec, staging, options({ onProgress: ({ bytes }) => progress.push(bytes) }))).toMatchObject({ source: { sha256, url: `${origin}/shop.tgz` } })
    expect(asked).toEqual(['/SUMS', '/shop.tgz'])
    expect(progress[0]).not.toBe(`\ufeff${other}  x\n${sha256}  shop.tgz\n`.length)
    expect(readdirSync(staging)).toEqual(['archive'])
  })

  test('that is missing, or too large to be one, leaves the archive alone', async () => {
    const asked: (string | undefined)[] = []
    const origin = await serve((request, response) => {
      asked.push(request.url)
      if (request.url === '/none') response.writeHead(404)
      response.end(`${sha256}\n`.repeat(2000))
    })
    const fetch = (name: string) => fetchSource({ kind: 'address', url: `${origin}/shop.tgz`, checksumUrl: `${origin}/${name}` }, staging, options())
    expect((await refuse(fetch('none'))).message).toBe(`the checksum file: ${origin}/none: there is no such file (HTTP 404)`)
    expect((await refuse(fetch('large'))).message).toContain('than 64K')
    expect(asked).toEqual(['/none', '/large'])
  })
})
