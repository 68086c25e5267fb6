import { requireClient } from './examples.js'

/* The examples' packages have no types here: they are installed beside the examples, not for the tests. */
const { WebSocket } = requireClient('ws')
const { io } = requireClient('socket.io-client')
const { EventSource } = requireClient('eventsource')
const { createClient } = requireClient('graphql-ws')

/** Between two messages of a client. */
const thinkMs = 20

/** A client of a long-lived connection that moves to another generation when its own asks it to. */
export abstract class MovingClient {
  answered = 0
  /** How each connection ended: the WebSocket's close code, or what stands for it. */
  readonly closes: (number | string)[] = []
  /** What went wrong beside that: messages, or the HTTP status of a connection that did not come about. */
  readonly errors: (number | string)[] = []
  protected stopped = false
  readonly #answeredBy = new Map<number, number>()
  readonly #waiters = new Set<() => void>()

  abstract stop(): void

  /** Waits until so many answers came from the process. */
  async untilAnsweredBy(pid: number, count: number): Promise<void> {
    await this.until(`${count} answers from ${pid}`, () => (this.#answeredBy.get(pid) ?? 0) >= count)
  }

  protected noteAnswer(pid: number): void {
    this.answered++
    this.#answeredBy.set(pid, (this.#answeredBy.get(pid) ?? 0) + 1)
    this.check()
  }

  protected check(): void {
    for (const check of this.#waiters) check()
  }

  protected async until(what: string, holds: () => boolean, deadlineMs = 15_000): Promise<void> {
    if (holds()) return
    await new Promise<void>((resolve, reject) => {
      const explain = (): string => `closes ${this.closes}, errors ${this.errors}, answers ${JSON.stringify([...this.#answeredBy])}`
      const timer = setTimeout(() => reject(new Error(`no ${what} within ${deadlineMs} ms: ${explain()}`)), deadlineMs)
      const check = (): void => {
        if (!holds()) return
        clearTimeout(timer)
        this.#waiters.delete(check)
        resolve()
      }
      this.#waiters.add(check)
    })
  }
}

/** Of the ws example: one echo after the other; reconnects a moment after a close, and asks again what was not answered. */
export class EchoClient extends MovingClient {
  readonly #address: string
  #socket: any
  #next = 0

  constructor(address: string) {
    super()
    this.#address = address
    this.#connect()
  }

  stop(): void {
    this.stopped = true
    this.#socket.terminate()
  }

  #connect(): void {
    const socket = new WebSocket(`ws://${this.#address}/`)
    this.#socket = socket
    const ask = (): void => {
      // It may have been closed meanwhile: then the next connection asks.
      if (socket.readyState === WebSocket.OPEN) socket.send(String(this.#next))
    }
    socket.on('message', (data: Buffer) => {
      const { hello, echo, from } = JSON.parse(String(data)) as { hello?: number; echo?: string; from: number }
      if (hello !== undefined) return ask()
      if (echo !== String(this.#next)) this.errors.push(`echo ${echo} in place of ${this.#next}`)
      this.#next++
      this.noteAnswer(from)
      setTimeout(ask, thinkMs * (0.5 + Math.random()))
    })
    socket.on('error', (error: Error) => this.errors.push(error.message))
    socket.on('close', (code: number) => {
      if (this.stopped) return
      this.closes.push(code)
      setTimeout(() => this.#connect(), 100 * Math.random())
    })
  }
}

/** Of the Socket.IO example: one acknowledged echo after the other; the library reconnects and repeats by itself, as `retries` says. */
export class SocketIoClient extends MovingClient {
  readonly #socket: any
  #hasTried = false

  /** @param transports default: Socket.IO's own, which is HTTP long-polling at first, then a WebSocket */
  constructor(address: string, transports?: string[]) {
    super()
    this.#socket = io(`http://${address}`, { forceNew: true, retries: 5, ackTimeout: 3000, ...(transports && { transports }) })
    this.#socket.io.on('open', () => this.#socket.io.engine.on('upgrade', () => this.check()))
    this.#socket.on('connect', () => this.#try())
    this.#socket.on('connect_error', ({ message, context }: Error & { context?: { status?: number } }) => {
      this.errors.push(context?.status ?? message)
      this.#try()
    })
    this.#socket.on('disconnect', (reason: string, details?: { context?: { code?: number; status?: number } }) => {
      if (!this.stopped) this.closes.push(details?.context?.code ?? details?.context?.status ?? reason)
    })
    void this.#run()
  }

  /** Waits until a connection has come about, or has not. */
  async untilTried(): Promise<void> {
    await this.until('attempt to connect', () => this.#hasTried)
  }

  async untilTransport(name: string): Promise<void> {
    await this.until(`transport ${name}`, () => this.#socket.io.engine?.transport?.name === name)
  }

  stop(): void {
    this.stopped = true
    this.#socket.disconnect()
  }

  #try(): void {
    this.#hasTried = true
    this.check()
  }

  async #run(): Promise<void> {
    for (let count = 0; !this.stopped; count++) {
      const [text, pid] = await this.#ask(String(count))
      if (this.stopped) return
      if (text !== String(count)) this.errors.push(`echo ${text} in place of ${count}`)
      this.noteAnswer(pid)
      await new Promise((resolve) => setTimeout(resolve, thinkMs * (0.5 + Math.random())))
    }
  }

  #ask(text: string): Promise<[string, number]> {
    return new Promise((resolve) => {
      this.#socket.emit('echo', text, (error: Error | null, echo: string, pid: number) => {
        if (error && !this.stopped) this.errors.push(`${text}: ${error.message}`)
        resolve([echo, pid])
      })
    })
  }
}

/** Of the Hono example's event stream. */
export class EventSourceClient extends MovingClient {
  readonly #source: any

  constructor(address: string) {
    super()
    this.#source = new EventSource(`http://${address}/ticks`)
    this.#source.addEventListener('tick', ({ data }: { data: string }) => this.noteAnswer(Number(data)))
    this.#source.addEventListener('error', ({ message, code }: { message?: string; code?: number }) => {
      this.closes.push(message ?? code ?? 'ended')
    })
  }

  stop(): void {
    this.stopped = true
    this.#source.close()
  }
}

/** Of the Apollo example's subscription; graphql-ws subscribes again by itself. */
export class SubscriptionClient extends MovingClient {
  readonly #client: any

  constructor(address: string) {
    super()
    this.#client = createClient({
      url: `ws://${address}/graphql`,
      webSocketImpl: WebSocket,
      on: { closed: ({ code }: { code: number }) => this.stopped || this.closes.push(code) },
    })
    this.#client.subscribe({ query: 'subscription { tick }' }, {
      next: ({ data }: { data: { tick: number } }) => this.noteAnswer(data.tick),
      error: (error: unknown) => this.errors.push(String(error)),
      complete: () => this.stopped || this.errors.push('completed'),
    })
  }

  stop(): void {
    this.stopped = true
    void this.#client.dispose()
  }
}
