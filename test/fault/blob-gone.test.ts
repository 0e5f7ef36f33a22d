// Goal: a pull whose blob is deleted and collected after its record was read is 404; one whose record says that the bytes
// are there, and they are not, is 500 and told. Method: a blob store that acts when it is asked to open.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import type { RepositoryName } from '../../src/oci/name.ts'
import type { BlobStore } from '../../src/storage/blob/contract.ts'
import { assertRefused, assertStatus, digestOf } from '../support/registry-client.ts'
import { InProcess } from './in-process.ts'

const bytes = Buffer.from('what is pulled')
const digest = digestOf(bytes) as Digest
const repository = 'app' as RepositoryName
const path = `/v2/app/blobs/${digest}`

interface Opening {
  /** Asked for each open; it takes the place of it. */
  open?: BlobStore['open']
}

async function withBlob(
  opening: Opening,
  found: Digest[],
  body: (registry: InProcess) => Promise<void>,
): Promise<void> {
  const registry = await InProcess.open({
    registry: { damage: { onFound: (damaged) => void found.push(damaged) } },
    wrap: (stores) => {
      const { blobs } = stores
      const open: BlobStore['open'] = (asked) => (opening.open ?? blobs.open.bind(blobs))(asked)
      const seen = new Proxy(blobs, {
        get: (store, name) => {
          if (name === 'open') return open
          const value: unknown = Reflect.get(store, name, store)
          return typeof value === 'function' ? value.bind(store) : value
        },
      })
      return { ...stores, blobs: seen }
    },
  })
  try {
    const pushed = `/v2/app/blobs/uploads/?digest=${digest}`
    assertStatus(await registry.send('POST', pushed, { body: bytes }), 201)
    await body(registry)
  } finally {
    await registry.close()
  }
}

test('deleted after its record was read, a blob is not found', async () => {
  const opening: Opening = {}
  const found: Digest[] = []
  await withBlob(opening, found, async (registry) => {
    opening.open = async () => {
      await registry.stores.metadata.unlinkBlob(repository, digest, 0)
      return undefined
    }
    assertRefused(await registry.send('GET', path), 404, 'BLOB_UNKNOWN')
    assert.deepEqual(found, [])
  })
})

test('pushed again after it was collected, it is there', async () => {
  const opening: Opening = {}
  const found: Digest[] = []
  await withBlob(opening, found, async (registry) => {
    opening.open = async () => {
      delete opening.open
      return undefined
    }
    assert.ok(assertStatus(await registry.send('GET', path), 200).body.equals(bytes))
    assert.deepEqual(found, [])
  })
})

test('recorded, and not there, it is a fault that is told', async () => {
  const opening: Opening = {}
  const found: Digest[] = []
  await withBlob(opening, found, async (registry) => {
    opening.open = async () => undefined
    assertRefused(await registry.send('GET', path), 500, 'INTERNAL')
    assert.deepEqual(found, [digest])
  })
})
