// A small process that sends our messages to the service manager, one at a time. It is started once, since
// starting a process from a large one stops the loop: 40 ms with 512 MiB in memory, 95 ms with 2 GiB.

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'

export interface SenderOptions {
  /** The `systemd-notify` to use. */
  readonly program: string
  readonly socket: string
  /** For one message; then the process is given up, and the next message starts another one. */
  readonly deadlineMs: number
  readonly onFailure: (error: Error) => void
}

type Helper = ChildProcessByStdio<Writable, Readable, null>

// States change a few times in a life; only a storm of reloads fills this, and its last word counts.
const waitingMax = 16
// Without --no-block systemd-notify stays until the manager has read the message: of a process that is
// gone the manager cannot tell to which service it belongs.
const loop = `while IFS='\t' read -r a b; do
  if [ -n "$b" ]; then "$0" "$a" "$b"; else "$0" "$a"; fi 2>&1
  echo "ended $?"
done`

export class Sender {
  readonly #options: SenderOptions
  readonly #waiting: string[] = []
  readonly #whenSettled: (() => void)[] = []
  #helper: Helper
  #isLost = false
  #isSending = false
  #heard = ''
  #deadline: NodeJS.Timeout | undefined

  constructor(options: SenderOptions) {
    this.#options = options
    this.#helper = this.#start()
  }

  /** One or two variables. */
  send(first: string, second = ''): void {
    if (this.#waiting.length === waitingMax) this.#waiting.shift()
    this.#waiting.push(`${first}\t${second}\n`)
    if (!this.#isSending) this.#sendNext()
  }

  /** As `send`, but left out where it would wait: the next one comes in time, or nobody reads. */
  sendNow(variable: string): void {
    if (!this.#isSending) this.send(variable)
  }

  /** After everything so far, and after the process: whoever watches the service would find it left over. */
  async close(): Promise<void> {
    if (this.#isSending) await new Promise<void>((resolve) => this.#whenSettled.push(resolve))
    if (this.#isLost) return
    const helper = this.#helper
    const gone = new Promise((resolve) => helper.once('exit', resolve).once('error', resolve))
    this.#deadline = setTimeout(() => killGroup(helper.pid), this.#options.deadlineMs)
    helper.stdin.end()
    await gone
    clearTimeout(this.#deadline)
  }

  #sendNext(): void {
    const message = this.#waiting.shift()
    this.#isSending = message !== undefined
    if (message === undefined) {
      for (const resolve of this.#whenSettled.splice(0)) resolve()
      return
    }
    if (this.#isLost) this.#helper = this.#start()
    const helper = this.#helper
    // It alone keeps the process from ending, so that its last words are sent.
    this.#deadline = setTimeout(() => {
      this.#lose(helper, new Error(`no answer in ${this.#options.deadlineMs} ms`))
    }, this.#options.deadlineMs)
    helper.stdin.write(message)
  }

  #start(): Helper {
    const { program, socket } = this.#options
    // A group of its own, which is ended as a whole.
    const helper = spawn('/bin/sh', ['-c', loop, program], {
      ...{ detached: true, stdio: ['pipe', 'pipe', 'ignore'], env: { NOTIFY_SOCKET: socket } },
    })
    this.#isLost = false
    this.#heard = ''
    helper.stdout.on('data', (bytes: Buffer) => this.#hear(helper, bytes.toString()))
    helper.stdin.on('error', (error) => this.#lose(helper, error))
    helper.on('error', (error) => this.#lose(helper, error))
    helper.on('exit', () => this.#lose(helper, new Error('the sender of messages has ended')))
    for (const part of [helper, helper.stdin, helper.stdout]) {
      if (part === helper || part instanceof Socket) part.unref()
    }
    return helper
  }

  #hear(helper: Helper, text: string): void {
    if (helper !== this.#helper || this.#isLost) return
    this.#heard += text
    const [, said = '', code] = /^([\s\S]*?)ended (\d+)\n$/.exec(this.#heard) ?? []
    if (code === undefined) return
    this.#heard = ''
    this.#done(code === '0' ? undefined : new Error(`${said.trim()} (code ${code})`))
  }

  #lose(helper: Helper, error: Error): void {
    if (helper !== this.#helper || this.#isLost) return
    this.#isLost = true
    killGroup(helper.pid)
    if (this.#isSending) this.#done(error)
  }

  #done(error: Error | undefined): void {
    clearTimeout(this.#deadline)
    if (error !== undefined) this.#options.onFailure(error)
    this.#sendNext()
  }
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
