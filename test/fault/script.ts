// One pass over what a registry does: pushes in every way, mounts, manifests, pulls, lists, deletes.
// Each step knows what it expects, how it is repeated, and what it leaves.

import assert from 'node:assert/strict'
import { seededBytes } from '../support/images.ts'
import { type Answer, digestOf, locationOf, withQuery } from '../support/registry-client.ts'
import type { InProcess, SendOptions } from './in-process.ts'

export interface Step {
  readonly name: string
  readonly status: number
  send(): Promise<Answer>
  /** After an error that may have come too late to stop it. Answers true where it is complete. */
  retry(): Promise<boolean>
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const indexType = 'application/vnd.oci.image.index.v1+json'
const octets = 'application/octet-stream'

/** All that differs between two passes on one store. */
export class Pass {
  readonly steps: readonly Step[]
  readonly #registry: InProcess
  readonly #name: string
  readonly #age: () => void
  readonly #config: Buffer
  readonly #streamed: Buffer
  readonly #chunked: Buffer
  readonly #image: Buffer
  readonly #index: Buffer
  readonly #locations = new Map<string, string>()

  /** `age` moves the clock on, so that leases have less than half of their time left. */
  constructor(registry: InProcess, name: string, age: () => void) {
    this.#age = age
    this.#registry = registry
    this.#name = name
    this.#config = seededBytes(`${name} config`, 300)
    this.#streamed = seededBytes(`${name} streamed`, 150_000)
    this.#chunked = seededBytes(`${name} chunked`, 90_000)
    this.#image = this.#imageManifest()
    this.#index = this.#indexManifest()
    this.steps = [...this.#pushes(), ...this.#pulls(), ...this.#removals()]
  }

  /** What anybody can see of this pass, by roles: equal for two passes that are equally far. */
  async look(): Promise<Readonly<Record<string, unknown>>> {
    const seen: Record<string, unknown> = {}
    for (const repository of ['a', 'b', 'c']) {
      const path = `/v2/${this.#name}/${repository}`
      for (const [role, bytes] of this.#blobs()) {
        seen[`${repository} ${role}`] = await this.#held(`${path}/blobs/${digestOf(bytes)}`, bytes)
      }
      const tags = await this.#send('GET', `${path}/tags/list`)
      seen[`${repository} tags`] = tags.status === 404 ? 'none' : tagsOf(tags)
    }
    for (const [role, bytes] of [
      ['image', this.#image],
      ['index', this.#index],
    ] as const) {
      const path = `/v2/${this.#name}/a/manifests/`
      seen[role] = await this.#held(`${path}${digestOf(bytes)}`, bytes)
      seen[`${role} tag`] = await this.#held(`${path}${role}`, bytes)
    }
    for (const [role, location] of this.#locations) {
      const { status, headers } = await this.#send('GET', location)
      assert.ok(status === 204 || status === 404, `${role}: ${status}`)
      seen[`session ${role}`] = status === 404 ? 'none' : headers['range']
    }
    return seen
  }

  #blobs(): readonly (readonly [string, Buffer])[] {
    return [
      ['config', this.#config],
      ['streamed', this.#streamed],
      ['chunked', this.#chunked],
    ]
  }

  async #held(path: string, bytes: Buffer): Promise<boolean> {
    const { status, body } = await this.#send('GET', path)
    assert.ok(status === 200 || status === 404, `${path}: ${status} ${body}`)
    if (status === 200) assert.ok(body.equals(bytes), `${path} has other bytes`)
    return status === 200
  }

  #pushes(): readonly Step[] {
    const config = digestOf(this.#config)
    const mount = `/blobs/uploads/?mount=${config}`
    const uploads = `/v2/${this.#name}/a/blobs/uploads/`
    return [
      this.#step('single POST', 201, 'POST', `${uploads}?digest=${config}`, {
        body: this.#config,
      }),
      this.#renew(`/v2/${this.#name}/a/blobs/${config}`),
      this.#start('streamed'),
      this.#patch('streamed', this.#streamed, 0, 100_000, false),
      this.#close('streamed', this.#streamed, 100_000),
      this.#start('chunked'),
      this.#patch('chunked', this.#chunked, 0, 40_000, true),
      this.#patch('chunked', this.#chunked, 40_000, 90_000, true),
      this.#close('chunked', this.#chunked, 90_000),
      this.#step('mount', 201, 'POST', `/v2/${this.#name}/b${mount}&from=${this.#name}/a`),
      this.#step('mount from anywhere', 201, 'POST', `/v2/${this.#name}/c${mount}`),
      this.#put('image', this.#image, manifestType),
      this.#put('index', this.#index, indexType),
    ]
  }

  #pulls(): readonly Step[] {
    const base = `/v2/${this.#name}/a`
    const blob = `${base}/blobs/${digestOf(this.#streamed)}`
    const image = digestOf(this.#image)
    const ranged = (range: string): SendOptions => ({ headers: { range: `bytes=${range}` } })
    return [
      this.#step('pull by tag', 200, 'GET', `${base}/manifests/image`),
      this.#step('head by digest', 200, 'HEAD', `${base}/manifests/${image}`),
      this.#step('pull a blob', 200, 'GET', blob),
      this.#step('pull a small blob', 200, 'GET', `${base}/blobs/${digestOf(this.#config)}`),
      this.#step('pull a range', 206, 'GET', blob, ranged('5-70000')),
      this.#step('pull ranges', 206, 'GET', blob, ranged('0-9,100-70000')),
      this.#step('head of a blob', 200, 'HEAD', `${base}/blobs/${digestOf(this.#chunked)}`),
      this.#step('list tags', 200, 'GET', `${base}/tags/list`),
      this.#step('list repositories', 200, 'GET', '/v2/_catalog'),
      this.#step('list referrers', 200, 'GET', `${base}/referrers/${image}`),
    ]
  }

  #removals(): readonly Step[] {
    const base = `/v2/${this.#name}/a`
    const remove = (name: string, path: string): Step => {
      const step = this.#step(name, 202, 'DELETE', `${base}/${path}`)
      return { ...step, retry: async () => [202, 404].includes((await step.send()).status) }
    }
    return [
      this.#start('cancelled'),
      this.#patch('cancelled', this.#chunked, 0, 1000, false),
      this.#cancel('cancelled'),
      remove('delete tag', 'manifests/index'),
      remove('delete index', `manifests/${digestOf(this.#index)}`),
      remove('delete image', `manifests/${digestOf(this.#image)}`),
      remove('delete blob', `blobs/${digestOf(this.#config)}`),
    ]
  }

  #step(
    name: string,
    status: number,
    method: string,
    target: string,
    options: SendOptions = {},
  ): Step {
    const send = (): Promise<Answer> => this.#send(method, target, options)
    return { name, status, send, retry: async () => (await send()).status === status }
  }

  #renew(target: string): Step {
    const step = this.#step('head that renews a lease', 200, 'HEAD', target)
    const send = (): Promise<Answer> => {
      this.#age()
      return step.send()
    }
    return { ...step, send }
  }

  #start(role: string): Step {
    const target = `/v2/${this.#name}/a/blobs/uploads/`
    const send = async (): Promise<Answer> => {
      const answer = await this.#send('POST', target)
      if (answer.status === 202) this.#locations.set(role, locationOf(answer))
      return answer
    }
    const retry = async (): Promise<boolean> => (await send()).status === 202
    return { name: `start ${role}`, status: 202, send, retry }
  }

  #patch(role: string, bytes: Buffer, from: number, to: number, isChunk: boolean): Step {
    const headers = isChunk ? { 'content-range': `${from}-${to - 1}` } : {}
    const body = bytes.subarray(from, to)
    const send = (): Promise<Answer> => this.#send('PATCH', this.#at(role), { headers, body })
    // As clients do: where the session stands decides what is sent.
    const retry = async (): Promise<boolean> => {
      const { headers: found } = await this.#send('GET', this.#at(role))
      return found['range'] === `0-${to - 1}` || (await send()).status === 202
    }
    return { name: `append to ${role} from ${from}`, status: 202, send, retry }
  }

  #close(role: string, bytes: Buffer, from: number): Step {
    const digest = digestOf(bytes)
    const body = bytes.subarray(from)
    const send = (): Promise<Answer> => {
      return this.#send('PUT', withQuery(this.#at(role), 'digest', digest), { body })
    }
    // A session that is gone has ended in the blob; `look` tells whether that is so.
    const retry = async (): Promise<boolean> => [201, 404].includes((await send()).status)
    return { name: `close ${role}`, status: 201, send, retry }
  }

  #cancel(role: string): Step {
    const send = (): Promise<Answer> => this.#send('DELETE', this.#at(role))
    const retry = async (): Promise<boolean> => [204, 404].includes((await send()).status)
    return { name: `cancel ${role}`, status: 204, send, retry }
  }

  #put(tag: string, body: Buffer, type: string): Step {
    const target = `/v2/${this.#name}/a/manifests/${tag}`
    const options = { body, headers: { 'content-type': type } }
    return this.#step(`put ${tag}`, 201, 'PUT', target, options)
  }

  #send(method: string, target: string, options?: SendOptions): Promise<Answer> {
    return this.#registry.send(method, target, options)
  }

  #at(role: string): string {
    const location = this.#locations.get(role)
    assert.ok(location, `${role} was never started`)
    return location
  }

  #imageManifest(): Buffer {
    const [config, ...layers] = this.#blobs().map(([, bytes]) => {
      return { mediaType: octets, digest: digestOf(bytes), size: bytes.length }
    })
    return Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers }),
    )
  }

  #indexManifest(): Buffer {
    const digest = digestOf(this.#image)
    const image = { mediaType: manifestType, digest, size: this.#image.length }
    const manifests = [image]
    return Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests, subject: image }),
    )
  }
}

function tagsOf(answer: Answer): readonly string[] {
  assert.equal(answer.status, 200)
  return (JSON.parse(answer.body.toString()) as { tags: string[] }).tags
}
