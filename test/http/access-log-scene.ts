// Answers for requests whose lines of the access log are looked at: each has a user agent of its own,
// by which its line is found.
import assert from 'node:assert/strict'
import { RawConnection, type RawReply } from '../support/raw-http.ts'
import type { Server } from '../support/server.ts'
import { until } from '../support/until.ts'

export type Line = Readonly<Record<string, unknown>>

export interface Told {
  readonly reply: RawReply
  readonly line: Line
}

export interface Call {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Which address of this machine asks. */
  readonly from?: string
}

export class AccessScene {
  readonly #server: () => Server
  readonly #agents: string[] = []

  /** `server` is asked for when it runs. */
  constructor(server: () => Server) {
    this.#server = server
  }

  /** A user agent that no other request has. */
  agent(): string {
    const agent = `agent-${this.#agents.length + 1}`
    this.#agents.push(agent)
    return agent
  }

  /** One request on a connection of its own, its reply, and what the log says of it. */
  async ask(method: string, target: string, call: Call = {}): Promise<Told> {
    const agent = this.agent()
    const client = await this.open(call.from)
    try {
      client.write(head(method, target, agent, call), call.body ?? '')
      const reply = await client.reply({ isHead: method === 'HEAD' })
      return { reply, line: await this.line(agent) }
    } finally {
      client.close()
    }
  }

  open(from = '127.0.0.1'): Promise<RawConnection> {
    return RawConnection.open({ port: this.#server().port, localAddress: from })
  }

  async line(agent: string): Promise<Line> {
    await until(`the line of ${agent}`, () => this.lines(agent).length > 0)
    return this.lines(agent)[0] ?? {}
  }

  /** Of one user agent, or of all requests. */
  lines(agent?: string): readonly Line[] {
    const wanted = agent === undefined ? '"msg":"request"' : `"userAgent":"${agent}"`
    return this.#server()
      .log.filter((line) => line.includes(wanted))
      .map((line) => JSON.parse(line) as Line)
  }

  assertEachOnce(): void {
    for (const agent of this.#agents) assert.equal(this.lines(agent).length, 1, agent)
  }
}

export function head(method: string, target: string, agent: string, call: Call = {}): string {
  const { headers = {}, body } = call
  const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
  const all = { Host: 'registry.test', 'User-Agent': agent, ...length, ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** The sum of a metric, or of those of its samples whose labels have a text. */
export function sumOf(page: string, metric: string, labels = ''): number {
  const samples = page
    .split('\n')
    .filter((line) => line.startsWith(`${metric}{`) || line.startsWith(`${metric} `))
    .filter((line) => line.includes(labels))
  return samples.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}
