import http from 'node:http'

export interface TrafficOptions {
  /** Clients on one kept connection each. */
  keepAlive: number
  /** Clients that use the built-in fetch. */
  fetch: number
  /** Clients that connect anew for each request. */
  newConnections: number
  /** Clients that POST 64 KiB on a kept connection. */
  posts: number
  /** Between two requests of a client: without it a connection is never idle, and the race cannot happen. */
  thinkMs: number
  /** What a GET asks for. Default `/`. */
  get?: Target
  /** Where a POST goes to, and with what. Default `/` with 64 KiB of the letter x. */
  post?: Target & { body?: Buffer | string }
}

interface Target {
  path?: string
  headers?: Record<string, string>
}

/** Steady traffic that counts every answer and keeps every error. No request is tried twice. */
export class Traffic {
  answered = 0
  readonly answeredBy = new Map<string, number>()
  readonly errors: string[] = []
  readonly #origin: string
  readonly #thinkMs: number
  readonly #clients: Promise<void>[] = []
  readonly #waiters = new Set<() => void>()
  #stopped = false

  constructor(address: string, options: TrafficOptions) {
    this.#origin = `http://${address}`
    this.#thinkMs = options.thinkMs
    const { get = {}, post = {} } = options
    const run = (count: number, client: () => () => Promise<string>): void => {
      for (let index = 0; index < count; index++) this.#clients.push(this.#loop(client()))
    }
    const body = post.body ?? Buffer.alloc(65_536, 'x')
    run(options.keepAlive, () => this.#agentClient({ keepAlive: true, maxSockets: 1 }, get))
    run(options.posts, () => this.#agentClient({ keepAlive: true, maxSockets: 1 }, post, body))
    run(options.newConnections, () => this.#agentClient({ keepAlive: false }, get))
    const url = `${this.#origin}${get.path ?? '/'}`
    run(options.fetch, () => async () => (await fetch(url, { headers: get.headers ?? {} })).text())
  }

  /** Waits until so many further requests were answered (or failed). */
  async untilAnswered(count: number): Promise<void> {
    const goal = this.answered + this.errors.length + count
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`only ${this.answered} of ${goal} answers within 20 s; ${this.errors.join('; ')}`)), 20_000)
      const check = (): void => {
        if (this.answered + this.errors.length < goal) return
        clearTimeout(timer)
        this.#waiters.delete(check)
        resolve()
      }
      this.#waiters.add(check)
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#clients)
  }

  async #loop(request: () => Promise<string>): Promise<void> {
    while (!this.#stopped) {
      try {
        const text = await request()
        const by = /from (\d+)/.exec(text)?.[1]
        if (by === undefined) throw new Error(`unexpected answer ${text.slice(0, 80)}`)
        this.answered++
        this.answeredBy.set(by, (this.answeredBy.get(by) ?? 0) + 1)
      } catch (error) {
        const cause = (error as { cause?: { code?: string } }).cause?.code
        this.errors.push(`${(error as { code?: string }).code ?? ''} ${(error as Error).message} ${cause ?? ''}`.trim())
      }
      for (const check of this.#waiters) check()
      await new Promise((resolve) => setTimeout(resolve, this.#thinkMs * (0.5 + Math.random())))
    }
  }

  #agentClient(options: http.AgentOptions, { path = '/', headers = {} }: Target, body?: Buffer | string): () => Promise<string> {
    const agent = new http.Agent(options)
    return () =>
      new Promise((resolve, reject) => {
        const request = http.request(`${this.#origin}${path}`, { agent, headers, method: body === undefined ? 'GET' : 'POST' }, (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (piece: string) => (text += piece))
          response.on('end', () => resolve(text)).on('error', reject)
        })
        request.on('error', reject).end(body)
      })
  }
}
