// Goal: a large blob reaches slow, many and impatient readers whole, and costs no memory by its size.
// Method: 64 MiB, a reader that takes some, stops until the server can send no more, and goes on;
// readers that leave in the middle; parallel open ranges as containerd asks for them.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { before, describe, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { RawConnection } from '../support/raw-http.ts'
import { assertStatus, digestOf } from '../support/registry-client.ts'
import { setups, useProduct } from './product.ts'

const mebibyte = 1024 * 1024
const size = 64 * mebibyte
const bytes = seededBytes('pull-large-blob', size)
const digest = digestOf(bytes)
const target = `/v2/large/blobs/${digest}`

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

for (const setup of setups('alone', 'node')) {
  describe(`pull a large blob, ${setup.name}`, () => {
    const product = useProduct(setup)
    before(() => product.client.pushBlob('large', bytes))

    test('readers that stop in the middle cost no memory and get all of it when they go on', async () => {
      // Warm, so that what the first transfer allocates is not counted.
      assertStatus(await product.client.get(target), 200)
      const before = residentBytes(product.server.pid)
      const responses = await Promise.all(
        Array.from({ length: 2 }, () => product.client.open('GET', target)),
      )
      for (const response of responses) {
        response.pause()
        await once(response, 'readable')
      }
      // Nobody reads: what the kernel and the client buffer is all that can leave the server.
      assert.ok(residentBytes(product.server.pid) - before < 16 * mebibyte)
      const sums = await Promise.all(
        responses.map(async (response) => {
          const hash = createHash('sha256')
          for await (const chunk of response) hash.update(chunk as Buffer)
          return `sha256:${hash.digest('hex')}`
        }),
      )
      assert.deepEqual(sums, [digest, digest])
    })

    test('open ranges are served side by side while their readers leave early', async () => {
      const reads = Array.from({ length: 8 }, async (_, i) => {
        const from = i * 8 * mebibyte
        const response = await product.client.open('GET', target, {
          headers: { range: `bytes=${from}-` },
        })
        assert.equal(response.statusCode, 206)
        assert.equal(response.headers['content-range'], `bytes ${from}-${size - 1}/${size}`)
        let at = from
        for await (const chunk of response) {
          const part = chunk as Buffer
          assert.ok(part.equals(bytes.subarray(at, at + part.length)), `at ${at}`)
          at += part.length
          // As containerd does: it closes the connection when its own part is there.
          if (at - from >= mebibyte) break
        }
        response.destroy()
      })
      await Promise.all(reads)
      const answer = await product.client.get(target, { range: `bytes=-${mebibyte}` })
      assert.ok(answer.body.equals(bytes.subarray(size - mebibyte)))
    })

    test('many ranges of a large blob arrive whole and in order', async () => {
      const part = 2 * mebibyte
      const starts = [40, 3, 20].map((at) => at * mebibyte + 7)
      const range = `bytes=${starts.map((at) => `${at}-${at + part - 1}`).join(',')}`
      const { body } = assertStatus(await product.client.get(target, { range }), 206)
      let from = 0
      for (const at of starts) {
        from = body.indexOf('\r\n\r\n', from) + 4
        assert.ok(body.subarray(from, from + part).equals(bytes.subarray(at, at + part)), `${at}`)
        from += part
      }
    })

    test('a connection carries one request after the other, large answers between small ones', async () => {
      const connection = await RawConnection.open(product.server.port)
      for (const path of ['/v2/', target, '/v2/']) {
        connection.write(`GET ${path} HTTP/1.1\r\nHost: registry\r\n\r\n`)
        const { status, body } = await connection.reply({ deadlineMs: 30_000 })
        assert.equal(status, 200)
        if (path === target) assert.equal(digestOf(body), digest)
      }
      connection.close()
    })
  })
}
