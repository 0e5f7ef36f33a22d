// Questions that wait for a reply with their number.

import type { Reply } from './messages.ts'

export class Questions {
  readonly #waiting = new Map<number, (value: unknown) => void>()
  #last = 0

  /** `replied` resolves to undefined where no reply comes in time, or none can come any more. */
  ask(timeoutMs: number): { readonly id: number; readonly replied: Promise<unknown> } {
    this.#last += 1
    const id = this.#last
    const replied = new Promise<unknown>((resolve) => {
      const timer = setTimeout(() => this.#settle(id, undefined), timeoutMs)
      this.#waiting.set(id, (value) => {
        clearTimeout(timer)
        resolve(value)
      })
    })
    return { id, replied }
  }

  take({ id, value }: Reply): void {
    this.#settle(id, value)
  }

  /** Nobody is there to reply. */
  abandon(): void {
    for (const id of [...this.#waiting.keys()]) this.#settle(id, undefined)
  }

  #settle(id: number, value: unknown): void {
    const resolve = this.#waiting.get(id)
    this.#waiting.delete(id)
    resolve?.(value)
  }
}
