import net from 'node:net'

/** A connection under full control: what is sent, what came back, and when it ended. */
export class RawClient {
  received = ''
  /** `end` in order, or the code of an error. */
  ended: string | undefined
  endedAt = 0
  readonly socket: net.Socket
  readonly #waiters = new Set<() => void>()

  constructor(address: string) {
    const [host = '', port] = address.split(':')
    this.socket = address.startsWith('/') ? net.connect(address) : net.connect(Number(port), host)
    this.socket.setEncoding('utf8')
    this.socket.on('data', (piece: string) => {
      this.received += piece
      this.#check()
    })
    this.socket.on('connect', () => this.#check())
    const end = (how: string): void => {
      this.ended ??= how
      this.endedAt ||= performance.now()
      this.#check()
    }
    this.socket.on('end', () => end('end')).on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
  }

  send(text: string): void {
    this.socket.write(text)
  }

  get(path: string): void {
    this.send(`GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`)
  }

  async until(what: string, holds: () => boolean, deadlineMs = 15_000): Promise<void> {
    if (holds()) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${what} not within ${deadlineMs} ms; ended: ${this.ended}; received:\n${this.received}`)), deadlineMs)
      const check = (): void => {
        if (!holds()) return
        clearTimeout(timer)
        this.#waiters.delete(check)
        resolve()
      }
      this.#waiters.add(check)
    })
  }

  async untilReceived(text: string, times = 1): Promise<void> {
    await this.until(`"${text}" ${times} times`, () => this.received.split(text).length > times)
  }

  async untilEnded(deadlineMs?: number): Promise<void> {
    await this.until('the end of the connection', () => this.ended !== undefined, deadlineMs)
  }

  #check(): void {
    for (const check of this.#waiters) check()
  }
}
