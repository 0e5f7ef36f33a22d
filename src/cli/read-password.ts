// Asks for a password: twice and unseen on a terminal, once from a pipe.

import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'

const pipeBytesMax = 64 * 1024

export interface PasswordInput {
  readonly stdin: NodeJS.ReadStream
  readonly prompt: (text: string) => void
}

/** Errors: Error with a message for the operator. From a pipe one line is read, its end cut off. */
export async function readPassword({ stdin, prompt }: PasswordInput): Promise<string> {
  if (!stdin.isTTY) return readLine(stdin)
  // readline echoes to its output; this one swallows it.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const typed = createInterface({ input: stdin, output: nowhere, terminal: true, historySize: 0 })
  typed.once('SIGINT', () => typed.close())
  // Both lines of one reader: those that are pasted together come in one chunk.
  const lines = typed[Symbol.asyncIterator]()
  try {
    const first = await ask(lines, prompt, 'Password: ')
    const second = await ask(lines, prompt, 'Again: ')
    if (first !== second) throw new Error('the two passwords differ')
    return first
  } finally {
    typed.close()
  }
}

async function readLine(stdin: NodeJS.ReadStream): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stdin) {
    const buffer = Buffer.from(chunk as Uint8Array)
    bytes += buffer.length
    if (bytes > pipeBytesMax) throw new Error('the input is longer than any password')
    chunks.push(buffer)
  }
  const [line = '', ...more] = Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '')
    .split('\n')
  if (more.length > 0) throw new Error('expected one line, the password')
  return line
}

async function ask(
  lines: AsyncIterator<string, unknown>,
  prompt: (text: string) => void,
  question: string,
): Promise<string> {
  prompt(question)
  const line = await lines.next()
  prompt('\n')
  if (line.done === true) throw new Error('no password was given')
  return line.value
}
