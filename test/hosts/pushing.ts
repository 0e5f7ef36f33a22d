// The ways of clients to push a blob.

import assert from 'node:assert/strict'
import type { Blob, Holdings } from './holdings.ts'
import { Upload, type Way } from './upload.ts'
import { change, type Writing } from './writing.ts'

const mib = 1024 * 1024
const openMax = 3

interface Open {
  readonly upload: Upload
  readonly blob: Blob
}

export class Pushing {
  readonly #writing: Writing
  readonly #own: Holdings
  /** Left by their client for some time. */
  readonly #open: Open[] = []

  constructor(writing: Writing, own: Holdings) {
    this.#writing = writing
    this.#own = own
  }

  get hasOpen(): boolean {
    return this.#open.length > 0
  }

  /** Answers what was done. */
  async push(): Promise<string> {
    const { dice } = this.#writing
    if (dice.chance(0.15)) return this.#bringBack()
    const blob = this.#own.newBlob(this.#someLength())
    if (dice.chance(0.3)) {
      await this.atOnce(this.#own, blob)
      return 'push in one POST'
    }
    const open = await this.#begin(blob)
    if (open === undefined) return 'start an upload in vain'
    const way = dice.pick(['whole', 'chunk', 'stream', 'broken off'] as const)
    if (way !== 'whole') await this.#appendSome(open.upload, way)
    if (this.#open.length < openMax && dice.chance(0.3)) {
      this.#open.push(open)
      return 'leave an upload'
    }
    await this.#finish(open)
    return `push: ${way}`
  }

  /** Go on with what was left. */
  async resume(): Promise<string> {
    const { dice } = this.#writing
    const [open] = this.#open.splice(dice.below(this.#open.length), 1)
    assert.ok(open !== undefined)
    if (dice.chance(0.1)) {
      // Cancelled or not: nobody asks for it again.
      await open.upload.cancel()
      return 'cancel an upload'
    }
    await this.#appendSome(open.upload, 'chunk')
    await this.#finish(open)
    return 'go on with an upload'
  }

  async endAll(): Promise<void> {
    for (const open of this.#open.splice(0)) await this.#finish(open)
  }

  /** One POST. False where nobody has heard of it. */
  async atOnce(holdings: Holdings, blob: Blob, mayBeBusy = false): Promise<boolean> {
    const begunAt = performance.now()
    const target = `/v2/${holdings.repository}/blobs/uploads/?digest=${blob.digest}`
    const answer = await this.#writing.write('push in one POST', {
      ...{ changes: [change(blob.isHeld, true)], status: 201, mayBeBusy },
      send: (client) => client.call('POST', target, { body: blob.bytes }),
    })
    if (answer === undefined) return false
    blob.leasedAt(begunAt)
    return true
  }

  /** What was deleted or collected comes again, while it is being destroyed perhaps. */
  async #bringBack(): Promise<string> {
    const { dice } = this.#writing
    const gone = [...this.#own.blobs].filter(({ isHeld }) => !isHeld.isSurely(true))
    if (gone.length === 0) return 'bring nothing back'
    const isThere = await this.atOnce(this.#own, dice.pick(gone), true)
    return isThere ? 'bring a blob back' : 'bring a blob back in vain'
  }

  async #begin(blob: Blob): Promise<Open | undefined> {
    const upload = await Upload.begin(this.#writing.caller, this.#own.repository, blob.content)
    return upload && { upload, blob }
  }

  async #appendSome(upload: Upload, way: Way): Promise<void> {
    const { dice } = this.#writing
    const cuts = 1 + dice.below(4)
    for (let i = 0; i < cuts && upload.left > 1 && !upload.isAstray; i++) {
      const rest = upload.left
      const count = dice.chance(0.2) ? rest : 2 + dice.below(rest - 1)
      const isBroken = way === 'broken off' && i === 0
      await upload.append(count, isBroken ? 'broken off' : way === 'stream' ? 'stream' : 'chunk')
    }
  }

  async #finish({ upload, blob }: Open): Promise<void> {
    const begunAt = performance.now()
    const write = blob.isHeld.begin(true)
    await (await this.#foundAgain(upload, blob)).finish()
    write.done()
    blob.leasedAt(begunAt)
    // It may have been forgotten as absent meanwhile.
    this.#own.blobs.add(blob)
  }

  async #foundAgain(upload: Upload, blob: Blob): Promise<Upload> {
    if (!upload.isAstray) return upload
    await upload.cancel()
    for (;;) {
      const again = await this.#begin(blob)
      if (again !== undefined) return again.upload
      await this.#writing.caller.backOff()
    }
  }

  #someLength(): number {
    const { dice } = this.#writing
    if (dice.chance(0.05)) return 4 * mib + dice.below(7 * mib)
    return dice.below(dice.pick([40, 4000, 90_000, 90_000, 600_000]))
  }
}
