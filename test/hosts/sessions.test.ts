// Goal: servers on several hosts are one registry. What one has acknowledged the others serve at once, an upload goes on
// on any of them, also when the one that received it is gone, and one that merely slept cannot add to it any more.
// Method: three servers that cannot see one another's processes, before one PostgreSQL, one bucket and one Redis.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { poll, type Status } from '../http/product.ts'
import { seededBytes } from '../support/images.ts'
import { inOwnNetwork } from '../support/own-network.ts'
import { RawConnection } from '../support/raw-http.ts'
import { assertRefused, assertStatus, digestOf, locationOf } from '../support/registry-client.ts'
import { type HostNode, needsHosts, Site } from './site.ts'

const mib = 1024 * 1024
const manifestType = 'application/vnd.oci.image.manifest.v1+json'
// Longer than a lease, and the time to find out that it has ended.
const takeOverMs = 60_000

interface Nodes {
  readonly nodes?: readonly { readonly host: string; readonly isSelf: boolean; ended: boolean }[]
}

inOwnNetwork(import.meta.filename, { ...needsHosts, timeoutMs: 600_000 }, () => {
  describe('three hosts', needsHosts, () => {
    let site: Site
    let nodes: readonly [HostNode, HostNode, HostNode]

    before(async () => {
      site = await Site.open()
      nodes = [await site.add('host-a'), await site.add('host-b'), await site.add('host-c')]
      await Promise.all(nodes.map((node) => node.start()))
    })
    after(() => site?.close())

    test('know one another', async () => {
      for (const node of nodes) {
        const known = await poll('all three are listed', async () => {
          const { nodes: listed = [] } = await node.status<Nodes>()
          return listed.length === 3 ? listed : undefined
        })
        assert.deepEqual(known.map(({ host }) => host).sort(), ['host-a', 'host-b', 'host-c'])
        assert.deepEqual(
          known.filter(({ isSelf }) => isSelf).map(({ host }) => host),
          [node.name],
        )
        const metrics = await node.admin('/metrics')
        assert.match(metrics.body, /^keelson_nodes 3$/m)
      }
    })

    for (const [way, part] of [
      ['streamed', 300_000],
      ['chunked', 300_000],
      ['chunked', 6 * mib],
    ] as const) {
      test(`an upload ${way} in parts of ${part} bytes goes from host to host`, async () => {
        const [a, b, c] = nodes
        const bytes = seededBytes(`from host to host ${way} ${part}`, 5 * part + 17)
        const location = pathOf(await a.client.startUpload('hosts/session'))
        let at = 0
        for (const node of [b, c, a, b, c]) {
          const end = at + part
          const range = way === 'chunked' ? `${at}-${end - 1}` : undefined
          assertStatus(await node.client.patch(location, bytes.subarray(at, end), range), 202)
          at = end
          const other = node === a ? b : a
          const status = assertStatus(await other.client.get(location), 204)
          assert.equal(status.headers['range'], `0-${at - 1}`)
        }
        const done = await a.client.finish(location, digestOf(bytes), bytes.subarray(at))
        assertStatus(done, 201)
        for (const { client } of nodes) {
          const got = await client.get(`/v2/hosts/session/blobs/${digestOf(bytes)}`)
          assert.ok(assertStatus(got, 200).body.equals(bytes))
          assertRefused(await client.get(location), 404, 'BLOB_UPLOAD_UNKNOWN')
        }
      })
    }

    test('a tag that is moved on one is seen by the others at once', async () => {
      const repository = 'hosts/tags'
      const config = await nodes[0].client.pushBlob(repository, Buffer.from('{}'))
      for (let i = 0; i < 300; i++) {
        const here = nodes[i % 3] ?? nodes[0]
        const bytes = manifestOf(config, i)
        const put = await here.client.putManifest(repository, 'moving', bytes, manifestType)
        assertStatus(put.answer, 201)
        for (const { client } of nodes) {
          const got = assertStatus(await client.get(`/v2/${repository}/manifests/moving`), 200)
          assert.ok(got.body.equals(bytes), `stale after ${i} moves`)
        }
      }
    })

    test('while one writes an upload the others answer 409, and take it over when it is gone', async () => {
      const [a, b, c] = nodes
      const bytes = seededBytes('taken over', 13 * mib)
      const location = pathOf(await a.client.startUpload('hosts/killed'))
      assertStatus(await b.client.patch(location, bytes.subarray(0, 6 * mib)), 202)
      await halfABody(a, location)
      assertRefused(await b.client.patch(location, Buffer.from('junk')), 409, 'BLOB_UPLOAD_INVALID')
      await a.kill()
      // It may merely be slow: only when its lease has ended another one goes on.
      assertRefused(await b.client.patch(location, Buffer.from('junk')), 409, 'BLOB_UPLOAD_INVALID')
      const rest = bytes.subarray(6 * mib)
      await poll('its lease has ended', () => unlessHeld(c, location, rest), takeOverMs)
      assertStatus(await b.client.finish(location, digestOf(bytes)), 201)
      const got = await c.client.get(`/v2/hosts/killed/blobs/${digestOf(bytes)}`)
      assert.ok(assertStatus(got, 200).body.equals(bytes))
      await a.start()
    })

    test('one that slept while another took its upload over adds nothing to it', async () => {
      const [a, b, c] = nodes
      const bytes = seededBytes('slept', 13 * mib)
      const location = pathOf(await a.client.startUpload('hosts/slept'))
      assertStatus(await a.client.patch(location, bytes.subarray(0, 6 * mib)), 202)
      const writer = await halfABody(b, location)
      b.pause()
      const middle = bytes.subarray(6 * mib, 12 * mib)
      await poll('its lease has ended', () => unlessHeld(c, location, middle), takeOverMs)
      b.resume()
      writer.write(Buffer.alloc(4 * mib, 'junk'))
      const refused = await writer.reply()
      assert.ok([409, 404].includes(refused.status), String(refused.status))
      writer.close()
      const status = assertStatus(await a.client.get(location), 204)
      assert.equal(status.headers['range'], `0-${12 * mib - 1}`)
      const done = await a.client.finish(location, digestOf(bytes), bytes.subarray(12 * mib))
      assertStatus(done, 201)
      const got = await b.client.get(`/v2/hosts/slept/blobs/${digestOf(bytes)}`)
      assert.ok(assertStatus(got, 200).body.equals(bytes))
      // It has a lease again, under which others see it.
      await poll('it is back', async () => {
        const { nodes: listed = [] } = await c.status<Nodes>()
        return listed.some(({ host, ended }) => host === b.name && !ended) ? true : undefined
      })
      assert.ok(b.log.some((line) => line.includes('the lease of this server had ended')))
    })
  })
})

/** The other hosts have it under their own address. */
function pathOf(location: string): string {
  return new URL(location, 'http://any').pathname
}

/** Begins to send 8 MiB there, of which 4 arrive. */
async function halfABody(node: HostNode, location: string): Promise<RawConnection> {
  const writer = await RawConnection.open({ host: node.address, port: node.port })
  writer.write(`PATCH ${location} HTTP/1.1\r\nHost: a\r\nContent-Length: ${8 * mib}\r\n\r\n`)
  writer.write(Buffer.alloc(4 * mib, 'junk'))
  await poll('a body is being received', async () => {
    const { ingest } = await node.status<Status>()
    return ingest.receiving === 1 ? true : undefined
  })
  return writer
}

/** Undefined where another one has it still. */
async function unlessHeld(
  node: HostNode,
  location: string,
  bytes: Buffer,
): Promise<string | undefined> {
  const answer = await node.client.patch(location, bytes)
  if (answer.status === 409) return undefined
  return locationOf(assertStatus(answer, 202))
}

function manifestOf(config: string, number: number): Buffer {
  const descriptor = { mediaType: 'application/octet-stream', digest: config, size: 2 }
  const annotations = { number: String(number) }
  return Buffer.from(
    JSON.stringify({
      ...{ schemaVersion: 2, mediaType: manifestType, config: descriptor },
      ...{ layers: [], annotations },
    }),
  )
}
