// Goal: a host that is cut off from one of the three that all share says so in time, is not ready where it needs that one,
// gives no wrong answer, and is well again by itself; the others do not notice. Method: packets that are lost on its cable,
// both ways, with connections open and while new ones are made.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { poll } from '../http/product.ts'
import { inOwnNetwork } from '../support/own-network.ts'
import { type Answer, assertStatus, RegistryClient } from '../support/registry-client.ts'
import { within } from '../support/until.ts'
import { Holdings, manifestType } from './holdings.ts'
import { requireAllWorks } from './recovery.ts'
import { type HostNode, needsHosts, type Part, Site } from './site.ts'

// Of the site: 3 s to connect and 5 s for a statement; four attempts of 5 s at the bucket, and the pauses between.
const answerMsMax = 30_000
const repository = 'cut/off'

inOwnNetwork(import.meta.filename, { ...needsHosts, timeoutMs: 600_000 }, () => {
  describe('a host that is cut off', () => {
    const holdings = new Holdings(repository, 'cut off')
    const layer = holdings.newBlob(100_000)
    const manifest = holdings.newManifest([layer])
    let site: Site
    let nodes: readonly [HostNode, HostNode]
    before(async () => {
      site = await Site.open()
      nodes = [await site.add('host-a'), await site.add('host-b')]
      await Promise.all(nodes.map((node) => node.start()))
      const [{ client }] = nodes
      const path = `/v2/${repository}/blobs/uploads/?digest=${layer.digest}`
      assertStatus(await client.call('POST', path, { body: layer.bytes }), 201)
      await putTag(client, 'v1')
    })
    after(() => site?.close())

    const putTag = async (client: RegistryClient, tag: string): Promise<void> => {
      const put = await client.putManifest(repository, tag, manifest.bytes, manifestType)
      assertStatus(put.answer, 201)
    }

    /** What a pull and a push need, each on a connection of its own. */
    const requests: Readonly<Record<string, (client: RegistryClient) => Promise<Answer>>> = {
      manifest: (client) => client.get(`/v2/${repository}/manifests/v1`),
      blob: (client) => client.get(`/v2/${repository}/blobs/${layer.digest}`),
      push: (client) => {
        const blob = holdings.newBlob(50_000)
        const path = `/v2/${repository}/blobs/uploads/?digest=${blob.digest}`
        return client.call('POST', path, { body: blob.bytes })
      },
    }

    const askAll = async ({ url }: HostNode): Promise<Readonly<Record<string, number>>> => {
      const asked = Object.entries(requests).map(async ([what, send]) => {
        const client = new RegistryClient(url)
        try {
          const { status } = await within(`an answer to ${what}`, send(client), answerMsMax)
          return [what, status] as const
        } finally {
          client.close()
        }
      })
      return Object.fromEntries(await Promise.all(asked))
    }

    const well = { manifest: 200, blob: 200, push: 201 }
    const ends: Readonly<Record<Part, { readonly isReady: boolean; readonly asked: object }>> = {
      postgres: { isReady: false, asked: { manifest: 503, blob: 503, push: 503 } },
      // Manifests are records.
      s3: { isReady: false, asked: { manifest: 200, blob: 503, push: 503 } },
      redis: { isReady: true, asked: well },
    }
    for (const [part, { isReady, asked }] of Object.entries(ends) as [
      Part,
      (typeof ends)[Part],
    ][]) {
      test(`from ${part}`, async (t) => {
        const [cut, other] = nodes
        assert.deepEqual(await askAll(cut), well)
        await cut.cutOff(part)
        const cutAt = performance.now()
        assert.deepEqual(await askAll(cut), asked)
        t.diagnostic(`first answers after ${Math.round(performance.now() - cutAt)} ms`)
        if (!isReady) {
          await poll(
            'it is not ready',
            async () => (await cut.admin('/readyz')).status === 503 || undefined,
            answerMsMax,
          )
        }
        // With new connections.
        const againAt = performance.now()
        assert.deepEqual(await askAll(cut), asked)
        t.diagnostic(`again after ${Math.round(performance.now() - againAt)} ms`)
        assert.equal((await cut.admin('/readyz')).status, isReady ? 200 : 503)
        assert.deepEqual(await askAll(other), well)
        await cut.reconnect(part)
        const healedAt = performance.now()
        await requireAllWorks([cut])
        t.diagnostic(`well again after ${Math.round(performance.now() - healedAt)} ms`)
        assert.deepEqual(await askAll(cut), well)
      })
    }
  })
})
