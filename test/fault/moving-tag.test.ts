// Goal: once anybody has seen a write, nobody sees what was before it, also while its commit is on its way
// to the disk and nobody has been told. Method: stores that hold a commit back after it is visible; replies
// are kept in memory all the while.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ReplyCache } from '../../src/operation/reply-cache.ts'
import type { MetadataStore } from '../../src/storage/metadata/contract.ts'
import { type Answer, assertStatus, digestOf } from '../support/registry-client.ts'
import { InProcess } from './in-process.ts'

const type = 'application/vnd.oci.image.index.v1+json'
const tag = '/v2/a/b/manifests/moving'
const methods = ['putManifest', 'deleteTag', 'deleteManifest'] as const

interface Hold {
  /** A write can be seen, and does not resolve. */
  readonly visible: Promise<void>
  release(): void
}

interface Held {
  readonly registry: InProcess
  /** From here on writes are held. */
  hold(): Hold
}

async function openHeld(t: TestContext): Promise<Held> {
  let onVisible = async (): Promise<void> => undefined
  const wrap = (store: MetadataStore): MetadataStore =>
    new Proxy(store, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target)
        if (typeof value !== 'function') return value
        if (!methods.some((method) => method === key)) return value.bind(target)
        return async (...args: unknown[]) => {
          const result: unknown = await Reflect.apply(value, target, args)
          await onVisible()
          return result
        }
      },
    })
  const registry = await InProcess.open({
    wrap: (stores) => ({ ...stores, metadata: wrap(stores.metadata) }),
    registry: { replies: new ReplyCache(1 << 20) },
  })
  t.after(() => registry.abandon())
  const hold = (): Hold => {
    let release = (): void => undefined
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const visible = new Promise<void>((resolve) => {
      onVisible = () => {
        resolve()
        return gate
      }
    })
    return { visible, release: () => release() }
  }
  return { registry, hold }
}

function indexOf(number: number): Buffer {
  const annotations = { number: String(number) }
  const index = { schemaVersion: 2, mediaType: type, manifests: [], annotations }
  return Buffer.from(JSON.stringify(index))
}

function put(registry: InProcess, body: Buffer): Promise<Answer> {
  return registry.send('PUT', tag, { body, headers: { 'content-type': type } })
}

const old = indexOf(1)
const writes: Readonly<Record<string, (registry: InProcess) => Promise<Answer>>> = {
  moved: (registry) => put(registry, indexOf(2)),
  deleted: (registry) => registry.send('DELETE', tag),
  'deleted with its manifest': (registry) =>
    registry.send('DELETE', `/v2/a/b/manifests/${digestOf(old)}`),
}

for (const [name, write] of Object.entries(writes)) {
  test(`while a tag is being ${name}, no pull goes back in time`, async (t) => {
    const { registry, hold } = await openHeld(t)
    assertStatus(await put(registry, old), 201)
    // Kept from here on.
    for (const method of ['GET', 'HEAD']) assertStatus(await registry.send(method, tag), 200)
    const held = hold()
    const answer = write(registry)
    await held.visible
    const seen = await registry.stores.metadata.readTag('a/b' as never, 'moving' as never)
    assert.notEqual(seen, digestOf(old))
    for (const method of ['GET', 'HEAD']) {
      const pulled = await registry.send(method, tag)
      assert.equal(pulled.headers['docker-content-digest'], seen, `${method} shows what was before`)
    }
    held.release()
    assert.ok([201, 202].includes((await answer).status))
  })
}

test('a tag that another server moves between the two looks of a pull is found, not absent', async (t) => {
  const twice = async (): Promise<void> => {
    assertStatus(await put(registry, indexOf(2)), 201)
    assertStatus(await registry.send('DELETE', `/v2/a/b/manifests/${digestOf(old)}`), 202)
  }
  let isBetween = false
  const registry = await InProcess.open({
    wrap: (stores) => ({
      ...stores,
      metadata: new Proxy(stores.metadata, {
        get(target, key) {
          const value: unknown = Reflect.get(target, key, target)
          if (typeof value !== 'function') return value
          if (key !== 'readTag') return value.bind(target)
          return async (...args: unknown[]) => {
            const digest: unknown = await Reflect.apply(value, target, args)
            if (isBetween) {
              isBetween = false
              await twice()
            }
            return digest
          }
        },
      }),
    }),
    registry: { shared: true },
  })
  t.after(() => registry.abandon())
  assertStatus(await put(registry, old), 201)
  isBetween = true
  const pulled = await registry.send('GET', tag)
  assertStatus(pulled, 200)
  assert.equal(pulled.headers['docker-content-digest'], digestOf(indexOf(2)))
  assertStatus(await registry.send('GET', '/v2/a/b/manifests/absent'), 404)
})
