// Answers for a directory that says whatever a test wants, byte for byte.
import { createServer, type Socket } from 'node:net'
import { element, readAll, readHead, readNumber } from '../../../src/authenticate/ldap/ber.ts'

export type Kind = 'bind' | 'search' | 'unbind' | 'extended'

export interface Asked {
  readonly id: number
  readonly kind: Kind
  /** Of a bind the name, of a search the base. */
  readonly name: string
  /** Of a bind. */
  readonly password: string
}

/** What is sent; 'close' ends the connection, 'nothing' leaves it waiting. */
export type Said = Buffer | 'close' | 'nothing'

export interface Liar {
  readonly port: number
  readonly asked: readonly Asked[]
  readonly connections: number
  close(): Promise<unknown>
}

const kinds: Readonly<Record<number, Kind>> = {
  96: 'bind',
  99: 'search',
  66: 'unbind',
  119: 'extended',
}

/** `greeting` is sent to whoever connects. */
export async function startLiar(
  answer: (asked: Asked, socket: Socket) => readonly Said[],
  greeting?: Said,
): Promise<Liar> {
  const asked: Asked[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    if (greeting !== undefined) say(socket, greeting)
    let bytes = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      for (;;) {
        const head = readHead(bytes, 0, bytes.length)
        if (head === undefined || head.end > bytes.length) return
        const question = read(bytes.subarray(0, head.end))
        bytes = bytes.subarray(head.end)
        asked.push(question)
        if (question.kind === 'unbind') return
        for (const said of answer(question, socket)) say(socket, said)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    asked,
    get connections() {
      return connections
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(resolve))
    },
  }
}

function say(socket: Socket, said: Said): void {
  if (said === 'close') socket.destroySoon()
  else if (said !== 'nothing') socket.write(said)
}

function read(message: Buffer): Asked {
  const [id, operation] = readAll(
    message,
    message[1]! < 0x80 ? 2 : 2 + (message[1]! & 0x7f),
    message.length,
  )
  const parts = readAll(message, operation!.start, operation!.end)
  const kind = kinds[operation!.tag] ?? 'extended'
  const text = (index: number): string => {
    const part = parts[index]
    return part === undefined ? '' : message.toString('utf8', part.start, part.end)
  }
  const name = kind === 'bind' ? text(1) : kind === 'search' ? text(0) : ''
  const password = kind === 'bind' ? text(2) : ''
  return { id: readNumber(message, id!), kind, name, password }
}

export function octets(text: string | Buffer): Buffer {
  return element(0x04, Buffer.from(text))
}

export function sequence(tag: number, ...parts: readonly Buffer[]): Buffer {
  return element(tag, Buffer.concat(parts))
}

export function message(id: number, ...parts: readonly Buffer[]): Buffer {
  return sequence(0x30, element(0x02, Buffer.from([id])), ...parts)
}

/** A result with `code`; the tags are those of RFC 4511: 0x61 of a bind, 0x65 of a search. */
export function result(tag: number, code: number, ...more: readonly Buffer[]): Buffer {
  return sequence(tag, element(0x0a, Buffer.from([code])), octets(''), octets('text'), ...more)
}

export function bindResult(id: number, code: number): Buffer {
  return message(id, result(0x61, code))
}

export function searchDone(id: number, code = 0): Buffer {
  return message(id, result(0x65, code))
}

export function entry(
  id: number,
  dn: string | Buffer,
  attributes: Readonly<Record<string, ReadonlyArray<string | Buffer>>>,
): Buffer {
  const list = Object.entries(attributes).map(([type, values]) =>
    sequence(0x30, octets(type), sequence(0x31, ...values.map(octets))),
  )
  return message(id, sequence(0x64, octets(dn), sequence(0x30, ...list)))
}
