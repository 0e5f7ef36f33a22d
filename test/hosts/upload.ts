// One upload session as a client sees it: it knows what was acknowledged and what may have arrived, asks where the session
// stands whenever it cannot tell, and goes on from there until the blob is held.

import assert from 'node:assert/strict'
import { type Answer, assertStatus, digestOf, locationOf } from '../support/registry-client.ts'
import { bytesOf, type Content } from './holdings.ts'
import { type Caller, recoveryMsMax, servedBy } from './weather.ts'

export type Way = 'chunk' | 'stream' | 'broken off'

const pieceBytes = 300_000
const toldMax = 20

export class Upload {
  readonly content: Content
  readonly repository: string
  readonly digest: string
  readonly #caller: Caller
  readonly #location: string
  readonly #bytes: Buffer
  /** Where a body without an answer may have brought it. */
  readonly #tried = new Set<number>()
  #committed = 0
  /** A request of it may still be at work, unheard of. */
  #isDisturbed = false
  #heldUntil = 0
  #mayBeGone = false
  #isAstray = false
  /** What was asked and answered, for whoever reads of a failure. */
  readonly #told: string[] = []

  private constructor(caller: Caller, repository: string, content: Content, location: string) {
    this.#caller = caller
    this.repository = repository
    this.content = content
    this.#location = location
    this.#bytes = bytesOf(content)
    this.digest = digestOf(this.#bytes)
  }

  /** Undefined where nobody was told of it. */
  static async begin(
    caller: Caller,
    repository: string,
    content: Content,
  ): Promise<Upload | undefined> {
    const answer = await caller.ask('start an upload', (client) =>
      client.call('POST', `/v2/${repository}/blobs/uploads/`),
    )
    if (answer === undefined) return undefined
    const location = locationOf(assertStatus(answer, 202, 'start an upload'))
    return new Upload(caller, repository, content, location)
  }

  /**
   * A body without a range may still be on its way, and is put wherever the session stands when it comes: nobody can go on
   * with it, and a client begins anew.
   */
  get isAstray(): boolean {
    return this.#isAstray
  }

  get left(): number {
    return this.#bytes.length - this.#committed
  }

  /** So many more bytes, or fewer: where it stands afterwards is known. */
  async append(count: number, way: Way): Promise<void> {
    const start = this.#committed
    const end = Math.min(this.#bytes.length, start + count)
    const bytes = this.#bytes.subarray(start, end)
    if (way === 'broken off') return this.#breakOff(bytes)
    this.#tried.add(end)
    // A body without a range is put wherever the session stands when it comes.
    const isStreamed = way === 'stream' && !this.#isDisturbed
    const range = `${start}-${end - 1}`
    const begunAt = performance.now()
    const answer = await this.#caller.ask(`${way} of ${range}`, (client) =>
      isStreamed
        ? client.patch(this.#location, pieces(bytes))
        : client.patch(this.#location, bytes, range),
    )
    this.#tell(`${isStreamed ? 'stream' : 'chunk'} of ${range}`, begunAt, answer)
    if (answer?.status === 202) {
      assert.equal(answer.headers['range'], `0-${end - 1}`)
      this.#standsAt(end)
      return
    }
    if (isStreamed && answer === undefined) {
      this.#isAstray = true
      this.#heldUntil = performance.now() + recoveryMsMax
      return
    }
    await this.#goOnAfter(answer, begunAt, `${way} of ${range}`)
  }

  /** Until the repository holds the blob. */
  async finish(): Promise<void> {
    for (;;) {
      const start = this.#committed
      const rest = this.#bytes.subarray(start)
      const range = `${start}-${this.#bytes.length - 1}`
      const begunAt = performance.now()
      const answer = await this.#caller.ask('finish an upload', (client) =>
        rest.length === 0
          ? client.finish(this.#location, this.digest)
          : client.finish(this.#location, this.digest, rest, range),
      )
      this.#tell(`finish with ${range}`, begunAt, answer)
      if (answer?.status === 201) return
      if (answer === undefined) this.#mayBeGone = true
      if ((await this.#goOnAfter(answer, begunAt, 'finish an upload')) === 'gone') {
        return this.#requireBlob()
      }
    }
  }

  /** False where nobody heard of it: it may be there still. */
  async cancel(): Promise<boolean> {
    const begunAt = performance.now()
    const answer = await this.#caller.ask('cancel an upload', (client) =>
      client.delete(this.#location),
    )
    if (answer?.status === 409) this.#requireHeld(answer, begunAt, 'cancel an upload')
    else if (answer !== undefined) assertStatus(answer, 204, 'cancel an upload')
    return answer?.status === 204
  }

  #tell(what: string, begunAt: number, answer: Answer | undefined): void {
    const times = `${Math.round(begunAt)} to ${Math.round(performance.now())} ms`
    this.#told.push(`${what} from ${times}: ${answer?.status} by ${answer?.headers[servedBy]}`)
    if (this.#told.length > toldMax) this.#told.shift()
  }

  async #goOnAfter(
    answer: Answer | undefined,
    begunAt: number,
    what: string,
  ): Promise<'open' | 'gone'> {
    if (answer === undefined) {
      this.#isDisturbed = true
      this.#heldUntil = performance.now() + recoveryMsMax
    } else if (answer.status === 409) {
      this.#requireHeld(answer, begunAt, what)
    } else if (answer.status === 404) {
      assert.ok(this.#mayBeGone, `${what}: the session is gone: ${answer.body}`)
    } else {
      // A body of which nobody had heard has arrived in between.
      assertStatus(answer, 416, `${what} (${this.#told.join('; ')})`)
      assert.ok(this.#isDisturbed, `${what}: the session has moved by itself`)
    }
    if (answer?.status !== 416) await this.#caller.backOff()
    return this.#find()
  }

  #requireHeld(answer: Answer, begunAt: number, what: string): void {
    this.#caller.weather.count('409 of a session')
    const isExcused = this.#caller.weather.mayBeHeld(begunAt) || begunAt < this.#heldUntil
    if (!isExcused) assertStatus(answer, 202, `${what}: held by nobody`)
  }

  async #find(): Promise<'open' | 'gone'> {
    for (;;) {
      const begunAt = performance.now()
      const answer = await this.#caller.ask('ask for an upload', (client) =>
        client.get(this.#location),
      )
      this.#tell(`where (${answer?.headers['range'] ?? 'unknown'})`, begunAt, answer)
      if (answer === undefined) {
        await this.#caller.backOff()
        continue
      }
      if (answer.status === 404 && this.#mayBeGone) return 'gone'
      assertStatus(answer, 204, `upload at ${this.#committed}`)
      const last = Number(/^0-(\d+)$/.exec(answer.headers['range'] ?? '')?.[1])
      // It never stands at 1, which has the form of 0.
      const found = last === 0 ? 0 : last + 1
      const allowed = [this.#committed, ...this.#tried]
      assert.ok(allowed.includes(found), `an upload is at ${found}, not at ${allowed.join(' or ')}`)
      this.#standsAt(found)
      return 'open'
    }
  }

  // What was seen never goes back.
  #standsAt(offset: number): void {
    this.#committed = offset
    for (const end of this.#tried) if (end <= offset) this.#tried.delete(end)
  }

  /** Nothing of it counts. */
  async #breakOff(bytes: Buffer): Promise<void> {
    await this.#caller.ask(
      'break a body off',
      (client) => client.patch(this.#location, half(bytes)),
      { breaksOff: true },
    )
    this.#isDisturbed = true
    this.#heldUntil = performance.now() + recoveryMsMax
    await this.#find()
  }

  async #requireBlob(): Promise<void> {
    for (;;) {
      const answer = await this.#caller.ask('a blob whose upload has ended', (client) =>
        client.head(`/v2/${this.repository}/blobs/${this.digest}`),
      )
      if (answer !== undefined) {
        assertStatus(answer, 200, 'a blob whose upload has ended')
        return
      }
      await this.#caller.backOff()
    }
  }
}

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    yield bytes.subarray(at, at + pieceBytes)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function* half(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes.subarray(0, Math.ceil(bytes.length / 2))
  await new Promise((resolve) => setImmediate(resolve))
  throw new Error('the client has left')
}
