// Goal: a session moves only by chunks that start where it stands, and whatever is refused leaves it
// there. Method: chunks in and out of order, by PATCH and in the closing PUT; the state is asked for
// by GET after each refusal, and the blob is closed and compared at the end.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import {
  type Answer,
  assertRefused,
  assertStatus,
  digestOf,
  locationOf,
} from '../support/registry-client.ts'
import { type Product, setups, useProduct } from './product.ts'

const bytes = seededBytes('push-chunks', 300_000)
const digest = digestOf(bytes)
const step = 100_000

function part(index: number, count = 1): Buffer {
  return bytes.subarray(index * step, (index + count) * step)
}

function rangeOf(index: number, count = 1): string {
  return `${index * step}-${(index + count) * step - 1}`
}

/** GET of the session says that it stands after `parts` chunks; resolves to the Location it gives. */
async function assertStands(product: Product, location: string, parts: number): Promise<string> {
  const answer = assertStatus(await product.client.get(location), 204)
  assert.equal(answer.headers['range'], `0-${Math.max(parts * step - 1, 0)}`)
  assert.equal(answer.body.length, 0)
  return locationOf(answer)
}

function assertOutOfOrder(answer: Answer, parts: number): void {
  assertRefused(answer, 416, 'BLOB_UPLOAD_INVALID')
  assert.equal(answer.headers['range'], `0-${Math.max(parts * step - 1, 0)}`)
  assert.ok(answer.headers['location'])
}

for (const setup of setups('alone', 'node', 'shared', 'memory')) {
  describe(`push in chunks, ${setup.name}`, () => {
    const product = useProduct(setup)

    async function begin(
      parts: number,
    ): Promise<{ readonly repository: string; readonly location: string }> {
      const repository = product.repository()
      let location = await product.client.startUpload(repository)
      for (let i = 0; i < parts; i++) {
        const answer = await product.client.patch(location, part(i), rangeOf(i))
        assertStatus(answer, 202, `chunk ${i}`)
        assert.equal(answer.headers['range'], `0-${(i + 1) * step - 1}`)
        location = locationOf(answer)
      }
      return { repository, location }
    }

    async function assertHolds(repository: string, content = bytes): Promise<void> {
      const path = `/v2/${repository}/blobs/${digestOf(content)}`
      assert.ok(assertStatus(await product.client.get(path), 200).body.equals(content))
    }

    test('chunks by PATCH, each at the Location of the one before, make the blob', async () => {
      const { repository, location } = await begin(3)
      assertStatus(await product.client.finish(location, digest), 201)
      await assertHolds(repository)
    })

    test('the last chunk may come in the closing PUT', async () => {
      const { repository, location } = await begin(2)
      assertStatus(await product.client.finish(location, digest, part(2), rangeOf(2)), 201)
      await assertHolds(repository)
    })

    test('the last chunk may come in the closing PUT without Content-Range', async () => {
      const { repository, location } = await begin(2)
      assertStatus(await product.client.finish(location, digest, [part(2)]), 201)
      await assertHolds(repository)
    })

    test('the whole blob may come as one chunk of the closing PUT', async () => {
      const { repository, location } = await begin(0)
      assertStatus(await product.client.finish(location, digest, bytes, rangeOf(0, 3)), 201)
      await assertHolds(repository)
    })

    test('chunks and streams mix in one session, closed by sha512', async () => {
      const { repository, location } = await begin(1)
      const streamed = assertStatus(await product.client.patch(location, [part(1)]), 202)
      const chunked = await product.client.patch(locationOf(streamed), part(2), rangeOf(2))
      const sha512 = digestOf(bytes, 'sha512')
      const closed = await product.client.finish(locationOf(chunked), sha512)
      assertStatus(closed, 201)
      const path = `/v2/${repository}/blobs/${sha512}`
      assert.ok(assertStatus(await product.client.get(path), 200).body.equals(bytes))
    })

    test('Content-Range in the form of RFC 9110 is understood too', async () => {
      const { repository, location } = await begin(0)
      const range = `bytes ${rangeOf(0)}/${bytes.length}`
      const first = assertStatus(await product.client.patch(location, part(0), range), 202)
      const rest = `bytes ${rangeOf(1, 2)}/*`
      const closed = await product.client.finish(locationOf(first), digest, part(1, 2), rest)
      assertStatus(closed, 201)
      await assertHolds(repository)
    })

    test('a new session stands at 0-0', async () => {
      const { location } = await begin(0)
      await assertStands(product, location, 0)
    })

    for (const [what, index] of [
      ['ahead', 2],
      ['back at the start', 0],
    ] as const) {
      test(`a PATCH ${what} is refused with 416 and the session survives`, async () => {
        const { repository, location } = await begin(1)
        assertOutOfOrder(await product.client.patch(location, part(index), rangeOf(index)), 1)
        const fresh = await assertStands(product, location, 1)
        const next = assertStatus(await product.client.patch(fresh, part(1), rangeOf(1)), 202)
        assertStatus(
          await product.client.finish(locationOf(next), digest, part(2), rangeOf(2)),
          201,
        )
        await assertHolds(repository)
      })

      test(`a closing PUT ${what} is refused with 416 and the session survives`, async () => {
        const { repository, location } = await begin(1)
        const early = await product.client.finish(location, digest, part(index), rangeOf(index))
        assertOutOfOrder(early, 1)
        const fresh = await assertStands(product, location, 1)
        assertStatus(await product.client.finish(fresh, digest, part(1, 2), rangeOf(1, 2)), 201)
        await assertHolds(repository)
      })
    }

    test('a first chunk that does not start at 0 is refused with 416', async () => {
      const { location } = await begin(0)
      assertOutOfOrder(await product.client.patch(location, part(1), rangeOf(1)), 0)
      await assertStands(product, location, 0)
    })

    test('the Location of an earlier reply still leads to the session', async () => {
      const repository = product.repository()
      const stale = await product.client.startUpload(repository)
      assertStatus(await product.client.patch(stale, part(0), rangeOf(0)), 202)
      assertOutOfOrder(await product.client.patch(stale, part(0), rangeOf(0)), 1)
      assertStatus(await product.client.patch(stale, part(1), rangeOf(1)), 202)
      assertStatus(await product.client.finish(stale, digest, part(2), rangeOf(2)), 201)
      await assertHolds(repository)
    })

    for (const range of ['x', '0', '5-2', 'bytes=0-9', '0-9-10', '-5', '0-', 'bytes 0-9/5']) {
      test(`a Content-Range of "${range}" is refused`, async () => {
        const { location } = await begin(0)
        const answer = await product.client.patch(location, part(0), range)
        assertRefused(answer, 400, 'BLOB_UPLOAD_INVALID')
        await assertStands(product, location, 0)
      })
    }

    for (const [what, range] of [
      ['longer', rangeOf(1, 2)],
      ['shorter', `${step}-${step + 9}`],
    ] as const) {
      test(`a Content-Range ${what} than the body is refused and takes nothing`, async () => {
        for (const body of [part(1), [part(1)]]) {
          const { repository, location } = await begin(1)
          assertRefused(await product.client.patch(location, body, range), 400, 'SIZE_INVALID')
          await assertStands(product, location, 1)
          const closing = await product.client.finish(location, digest, body, range)
          assertRefused(closing, 400, 'SIZE_INVALID')
          await assertStands(product, location, 1)
          const closed = await product.client.finish(location, digest, part(1, 2), rangeOf(1, 2))
          assertStatus(closed, 201)
          await assertHolds(repository)
        }
      })
    }

    test('after a refused chunk the session can be closed at what it had', async () => {
      const { repository, location } = await begin(1)
      const refused = await product.client.patch(location, [part(1)], rangeOf(1, 2))
      assertRefused(refused, 400, 'SIZE_INVALID')
      // What the refused chunk left behind must not become part of the blob.
      assertStatus(await product.client.finish(location, digestOf(part(0))), 201)
      await assertHolds(repository, part(0))
    })

    test('after a closing chunk with a wrong digest the session stands where it stood', async () => {
      const { repository, location } = await begin(1)
      const wrong = digestOf(Buffer.from('wrong'))
      const refused = await product.client.finish(location, wrong, part(1, 2), rangeOf(1, 2))
      assertRefused(refused, 400, 'DIGEST_INVALID')
      await assertStands(product, location, 1)
      assertStatus(await product.client.finish(location, digestOf(part(0))), 201)
      await assertHolds(repository, part(0))
    })

    test('an empty PATCH changes nothing', async () => {
      const { repository, location } = await begin(1)
      const answer = assertStatus(await product.client.patch(location, Buffer.alloc(0)), 202)
      assert.equal(answer.headers['range'], `0-${step - 1}`)
      assertStatus(await product.client.finish(locationOf(answer), digestOf(part(0))), 201)
      await assertHolds(repository, part(0))
    })

    test('a cancelled session is gone, and cancelling it again finds nothing', async () => {
      const { location } = await begin(1)
      const cancelled = assertStatus(await product.client.delete(location), 204)
      assert.equal(cancelled.body.length, 0)
      for (const answer of [
        await product.client.get(location),
        await product.client.patch(location, part(1), rangeOf(1)),
        await product.client.finish(location, digest, part(1, 2)),
        await product.client.delete(location),
      ]) {
        assertRefused(answer, 404, 'BLOB_UPLOAD_UNKNOWN')
      }
    })

    test('many sessions at once keep their bytes apart', async () => {
      await Promise.all(
        Array.from({ length: 12 }, async (_, i) => {
          const repository = product.repository()
          const own = seededBytes(`session ${i}`, 200_000 + i)
          let location = await product.client.startUpload(repository)
          for (let at = 0; at < own.length; at += 50_000) {
            const chunk = own.subarray(at, at + 50_000)
            const range = `${at}-${at + chunk.length - 1}`
            const body = i % 2 === 0 ? chunk : [chunk]
            const answer = await product.client.patch(
              location,
              body,
              i % 3 === 0 ? undefined : range,
            )
            location = locationOf(assertStatus(answer, 202))
          }
          assertStatus(await product.client.finish(location, digestOf(own)), 201)
          await assertHolds(repository, own)
        }),
      )
    })
  })
}
