// One turn of the soak: an image is pushed, pulled, and half of the times deleted; one pull and one
// push are dropped in the middle, and now and then the session of that push is left.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Content, imageManifest, KIB, PayloadSource, smallPayload } from '../content.ts'
import type { Server } from '../contract.ts'
import { get } from '../load/get.ts'
import { pushBlob } from '../load/push.ts'
import { locationOf, RawConnection } from '../load/raw-connection.ts'

const TAGS_PER_LANE = 16
const LAYER_BYTES = [16 * KIB, 64 * KIB, 256 * KIB]
const CANCEL_MS = 5000
const CANCEL_AGAIN_MS = 20
const DECLARED_BYTES = 1024 * KIB
// A session that is left stays open for a minute: more of them, at the rate of a fast machine, would be more than
// `ingest.sessions_max`, and what was measured then would be refusals.
const LEFT_EVERY = 16

/** Of one lane, which has a repository and a connection of its own. */
export class Lane {
  readonly #server: Server
  readonly #repository: string
  readonly #base: string
  readonly #sources = LAYER_BYTES.map((size) => new PayloadSource(size))
  #connection: RawConnection | undefined
  #asked = 0

  constructor(server: Server, lane: number) {
    this.#server = server
    this.#repository = `soak/lane${lane}`
    this.#base = `/v2/${this.#repository}`
  }

  close(): void {
    this.#connection?.close()
  }

  /** Gives the number of requests. Errors: Error naming the first that did not end as it should. */
  async turn(number: number): Promise<number> {
    this.#asked = 0
    this.#connection ??= await RawConnection.open(this.#server)
    const config = smallPayload(2 * KIB)
    const layers = this.#sources.map((source) => source.next())
    const tag = `t${number % TAGS_PER_LANE}`
    const manifest = imageManifest(tag, config, layers)
    const content = { repository: this.#repository, blobs: [config, ...layers] }
    const image: Content = { ...content, manifests: [manifest] }
    await this.#push(this.#connection, image)
    await this.#pull(image)
    await this.#dropPull(layers.at(-1)?.digest ?? '')
    await this.#dropPush(number % LEFT_EVERY !== 0)
    // What is left otherwise is untagged when its tag moves on, and garbage collection takes it.
    if (number % 2 === 0) await this.#delete(image)
    return this.#asked
  }

  async #push(connection: RawConnection, { blobs, manifests }: Content): Promise<void> {
    for (const blob of blobs) {
      await pushBlob(connection, this.#repository, blob, 'docker')
      this.#asked += 3
    }
    for (const { tag, mediaType, bytes } of manifests) {
      const headers = [`Content-Type: ${mediaType}`, `Content-Length: ${bytes.length}`]
      await this.#expect(201, 'PUT', `${this.#base}/manifests/${tag}`, headers, [bytes])
    }
  }

  async #pull({ blobs, manifests }: Content): Promise<void> {
    for (const { tag, bytes } of manifests) {
      const body = await this.#expect(200, 'GET', `${this.#base}/manifests/${tag}`)
      if (!body.equals(bytes)) throw new Error('another manifest came')
    }
    for (const { digest, size } of blobs) {
      await this.#expect(200, 'HEAD', `${this.#base}/blobs/${digest}`)
      const body = await this.#expect(200, 'GET', `${this.#base}/blobs/${digest}`)
      if (body.length !== size) throw new Error(`${body.length} of ${size} bytes came`)
    }
    await this.#expect(200, 'GET', `${this.#base}/tags/list`)
  }

  async #dropPull(digest: string): Promise<void> {
    const answer = await get(this.#server, `${this.#base}/blobs/${digest}`)
    if (answer.statusCode !== 200) throw new Error(`GET to drop: ${answer.statusCode}`)
    answer.destroy()
    this.#asked += 1
  }

  /** The session is cancelled, or left to expire. */
  async #dropPush(isCancelled: boolean): Promise<void> {
    const connection = await RawConnection.open(this.#server)
    const path = `${this.#base}/blobs/uploads/`
    const started = await connection.exchange('POST', path, ['Content-Length: 0'])
    if (started.status !== 202) throw new Error(`POST to drop: ${started.status}`)
    const location = locationOf(started)
    const headers = ['Content-Type: application/octet-stream', `Content-Length: ${DECLARED_BYTES}`]
    const half = Buffer.alloc(DECLARED_BYTES / 2, 'keelson')
    const dropped = connection.exchange('PATCH', location, headers, [half, half], async (index) => {
      if (index === 1) connection.close()
    })
    const told = await dropped.then(
      ({ status }) => `it was answered ${status}`,
      () => undefined,
    )
    if (told !== undefined) throw new Error(`a push was dropped, but ${told}`)
    this.#asked += 2
    if (isCancelled) await this.#cancel(location)
  }

  /** Until the server has seen that the connection is gone, the session is being written to. */
  async #cancel(location: string): Promise<void> {
    const deadline = performance.now() + CANCEL_MS
    for (;;) {
      const answer = await this.#connection?.exchange('DELETE', location)
      this.#asked += 1
      if (answer?.status === 204) return
      if (answer?.status !== 409 || performance.now() > deadline) {
        throw new Error(`DELETE of an upload: ${answer?.status} ${answer?.body}`)
      }
      await sleep(CANCEL_AGAIN_MS)
    }
  }

  async #delete({ blobs, manifests }: Content): Promise<void> {
    for (const { digest } of manifests) {
      await this.#expect(202, 'DELETE', `${this.#base}/manifests/${digest}`)
    }
    for (const { digest } of blobs) {
      await this.#expect(202, 'DELETE', `${this.#base}/blobs/${digest}`)
    }
  }

  async #expect(
    wanted: number,
    method: string,
    path: string,
    headers: readonly string[] = [],
    blocks: readonly Buffer[] = [],
  ): Promise<Buffer> {
    if (this.#connection === undefined) throw new Error('no connection')
    const answer = await this.#connection.exchange(method, path, headers, blocks)
    if (answer.status !== wanted) {
      throw new Error(`${method} ${path}: ${answer.status}, wanted ${wanted}: ${answer.body}`)
    }
    this.#asked += 1
    return answer.body
  }
}
