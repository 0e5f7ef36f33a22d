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
  const first = await ask(stdin, prompt, 'Password: ')
  const second = await ask(stdin, prompt, 'Again: ')
  if (first !== second) throw new Error('the two passwords differ')
  return first
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

// readline echoes to its output; this one swallows it.
function ask(
  stdin: NodeJS.ReadStream,
  prompt: (text: string) => void,
  question: string,
): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: stdin, output: nowhere, terminal: true, historySize: 0 })
  prompt(question)
  return new Promise((resolve, reject) => {
    lines.once('SIGINT', () => lines.close())
    lines.once('line', (line) => {
      resolve(line)
      lines.close()
    })
    lines.once('close', () => {
      prompt('\n')
      reject(new Error('no password was given'))
    })
  })
}
