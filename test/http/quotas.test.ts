// Goal: what is stored below a prefix never passes its quota, by not one byte and at no moment; what needs
// no room works at a full quota; and what is deleted makes room again. Method: clients that push at once
// in every way, while somebody watches the use; then pushes to the very byte.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Dice, randomFrom } from '../support/dice.ts'
import { seededBytes } from '../support/images.ts'
import { RawConnection } from '../support/raw-http.ts'
import {
  assertStatus,
  digestOf,
  locationOf,
  type RegistryClient,
} from '../support/registry-client.ts'
import { adminCall, type Product, poll, type Status, setups, useProduct } from './product.ts'
import { assertOverQuota, pushWays, socketFolder, tryPush, UsageReader } from './quota-scene.ts'
import { pushSampleBlobs, sampleImage } from './sample-content.ts'

const limit = 1_000_000
const quotas = `
[repository."crowd".quota]
bytes = "${limit}B"
[repository."exact".quota]
bytes = "1000B"
[repository."early".quota]
bytes = "100000B"
[repository."late".quota]
bytes = "100000B"
[repository."tagged".quota]
tags = 2
[repository."tagged/inner".quota]
tags = 1
[repository."again".quota]
bytes = "600B"
`

async function pushUntilFull(client: RegistryClient, number: number): Promise<Map<string, number>> {
  const dice = new Dice(randomFrom(number + 1))
  const stored = new Map<string, number>()
  for (let i = 0, refusals = 0; refusals < 3; i++) {
    const repository = dice.pick(['crowd', 'crowd/a', 'crowd/a/b', 'crowd/c'])
    // Some of the others push the same.
    const seed = dice.chance(0.3) ? `shared ${i}` : `own ${number} ${i}`
    const bytes = seededBytes(seed, seed.startsWith('s') ? 9_000 + i : 5_000 + dice.below(30_000))
    const answer = await tryPush(client, repository, bytes, dice.pick(pushWays))
    if (answer.status === 201) stored.set(`${repository}@${digestOf(bytes)}`, bytes.length)
    else assertOverQuota(answer, 'crowd')
    if (answer.status !== 201) refusals += 1
  }
  return stored
}

function filesBelow(product: Product, folder: string): string[] {
  const files = readdirSync(join(product.server.rootDir, folder), {
    recursive: true,
    withFileTypes: true,
  })
  return files.filter((file) => file.isFile()).map(({ name, parentPath }) => join(parentPath, name))
}

for (const { name, toml, ...setup } of setups('alone', 'shared', 'node', 'memory')) {
  describe(`quotas, ${name}`, () => {
    const socket = join(socketFolder(), 'admin.sock')
    const admin = `[admin]\nsocket = ${JSON.stringify(socket)}\n`
    const product = useProduct({ ...setup, toml: `${toml ?? ''}\n${admin}${quotas}` })
    const usage = new UsageReader(socket)

    test('hold to the byte while 16 clients push at once, and leak nothing', async () => {
      let isWatched = true
      const watch = async (): Promise<number> => {
        let highest = 0
        while (isWatched) highest = Math.max(highest, (await usage.read('crowd')).bytes)
        return highest
      }
      const watching = watch()
      const pushed = await Promise.all(
        Array.from({ length: 16 }, (_, i) => pushUntilFull(product.client, i)),
      ).finally(() => {
        isWatched = false
      })
      const highest = await watching
      const stored = new Map(pushed.flatMap((each) => [...each]))
      const sum = [...stored.values()].reduce((total, size) => total + size, 0)
      assert.ok(sum <= limit && sum > limit - 100_000, `${sum} of ${limit}`)
      assert.ok(highest <= limit, `${highest} of ${limit} at some moment`)
      assert.deepEqual(await usage.read('crowd'), {
        ...{ prefix: 'crowd', bytes: sum, tags: 0 },
        quotas: [{ prefix: 'crowd', bytesMax: limit, bytes: sum, tags: 0 }],
      })
      await usage.assertExact()
      // What is left is there to the byte.
      const rest = seededBytes('rest', limit - sum)
      assertOverQuota(
        await tryPush(product.client, 'crowd', seededBytes('too much', rest.length + 1), 'put'),
        'crowd',
      )
      assertStatus(await tryPush(product.client, 'crowd', rest, 'put'), 201)
      assert.equal((await usage.read('crowd')).bytes, limit)
      for (const place of [...stored.keys(), `crowd@${digestOf(rest)}`]) {
        const [repository, digest] = place.split('@')
        const target = `/v2/${repository}/blobs/${digest}`
        assertStatus(await product.client.get(target), 200)
        assertStatus(await product.client.delete(target), 202)
      }
      assert.equal((await usage.read('crowd')).bytes, 0)
      await usage.assertExact()
      const whole = seededBytes('whole', limit)
      assertStatus(await tryPush(product.client, 'crowd/new', whole, 'stream'), 201)
      assertStatus(await product.client.delete(`/v2/crowd/new/blobs/${digestOf(whole)}`), 202)
      assert.equal((await usage.read('crowd')).bytes, 0)
    })

    test('count blobs and manifests alike, by whole components of the name', async () => {
      const { client } = product
      const manifest = { ...(await pushSampleBlobs(client, 'exact/app', 'exact')) }
      const bytes = Buffer.from(JSON.stringify(manifest))
      const held = (await usage.read('exact')).bytes
      assert.ok(held + bytes.length < 1000)
      const filler = seededBytes('filler', 1000 - held - bytes.length + 1)
      assertStatus(await tryPush(client, 'exact', filler, 'put'), 201)
      const over = await client.putManifest('exact/app', 'v1', manifest)
      assertOverQuota(over.answer, 'exact')
      assertStatus(await client.get('/v2/exact/app/manifests/v1'), 404)
      assertStatus(await client.get(`/v2/exact/app/manifests/${over.digest}`), 404)
      assertStatus(await client.delete(`/v2/exact/blobs/${digestOf(filler)}`), 202)
      assertStatus(await tryPush(client, 'exact', filler.subarray(1), 'put'), 201)
      assertStatus((await client.putManifest('exact/app', 'v1', manifest)).answer, 201)
      assert.deepEqual(
        { ...(await usage.read('exact')), quotas: [] },
        { prefix: 'exact', bytes: 1000, tags: 1, quotas: [] },
      )
      // `exactly` is not below `exact`.
      assertStatus(await tryPush(client, 'exactly', filler, 'put'), 201)
      await usage.assertExact()
    })

    test('let everything through that needs no room', async () => {
      const { client } = product
      const manifest = await pushSampleBlobs(client, 'again/app', 'again')
      const { blobs } = sampleImage('again')
      assertStatus((await client.putManifest('again/app', 'v1', manifest)).answer, 201)
      const { bytes } = await usage.read('again')
      assertStatus(
        await tryPush(client, 'again/app', seededBytes('again', 600 - bytes), 'put'),
        201,
      )
      const [layer = Buffer.alloc(0)] = blobs
      const digest = digestOf(layer)
      for (const way of pushWays) {
        assertStatus(await tryPush(client, 'again/app', layer, way), 201, way)
      }
      const uploads = '/v2/again/app/blobs/uploads/'
      assertStatus(await client.call('POST', `${uploads}?mount=${digest}&from=again/app`), 201)
      assertStatus(await client.call('POST', `${uploads}?mount=${digest}`), 201)
      assertStatus((await client.putManifest('again/app', 'v1', manifest)).answer, 201)
      assertStatus((await client.putManifest('again/app', 'v2', manifest)).answer, 201)
      assertStatus(await client.head(`/v2/again/app/blobs/${digest}`), 200)
      assertStatus(await client.get('/v2/again/app/manifests/v2'), 200)
      // In another repository below the prefix the same blob does need room.
      const other = '/v2/again/other/blobs/uploads/'
      const mount = await client.call('POST', `${other}?mount=${digest}&from=again/app`)
      assertOverQuota(mount, 'again')
      for (const way of pushWays) {
        assertOverQuota(await tryPush(client, 'again/other', layer, way), 'again')
      }
      assert.equal((await usage.read('again/other')).bytes, 0)
      await usage.assertExact()
    })

    test('bound tags, the inner as well as the outer', async () => {
      const { client } = product
      const [outer, inner] = ['tagged/outer', 'tagged/inner']
      const manifests = new Map<string, object>()
      for (const each of [outer, inner]) {
        manifests.set(each, await pushSampleBlobs(client, each, each))
      }
      const put = async (repository: string, tag: string) =>
        (await client.putManifest(repository, tag, manifests.get(repository)!)).answer
      assertStatus(await put(inner, 'one'), 201)
      assertOverQuota(await put(inner, 'two'), 'tagged/inner', 'tags')
      assertStatus(await put(outer, 'one'), 201)
      assertOverQuota(await put(outer, 'two'), 'tagged', 'tags')
      assertStatus(await put(outer, 'one'), 201)
      assertStatus(await client.delete(`/v2/${inner}/manifests/one`), 202)
      assertStatus(await put(outer, 'two'), 201)
      assertOverQuota(await put(inner, 'one'), 'tagged', 'tags')
      await usage.assertExact()
    })

    test('refuse what cannot fit before its bytes have come', async () => {
      const { client, server } = product
      const large = seededBytes('large', 200_000)
      const raw = await RawConnection.open({ port: server.port })
      const announced = `Host: h\r\nContent-Length: ${large.length}\r\n\r\n`
      const path = `/v2/early/blobs/uploads/?digest=${digestOf(large)}`
      raw.write(`POST ${path} HTTP/1.1\r\n${announced}`)
      assert.equal((await raw.reply()).status, 403)
      raw.reset()
      const location = await client.startUpload('early')
      const patch = await RawConnection.open({ port: server.port })
      patch.write(`PATCH ${location} HTTP/1.1\r\n${announced}`)
      assert.equal((await patch.reply()).status, 403)
      patch.reset()
      // The session is over, and its bytes are gone with it.
      assertStatus(await client.get(location), 404)
      const streamed = await client.startUpload('early')
      const stream = await RawConnection.open({ port: server.port })
      stream.write(`PATCH ${streamed} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n`)
      stream.write(`${large.length.toString(16)}\r\n`)
      stream.write(large)
      assert.equal((await stream.reply()).status, 403)
      stream.reset()
      assertStatus(await client.get(streamed), 404)
      const filled = seededBytes('filled', 100_000)
      assertStatus(await tryPush(client, 'early/full', filled, 'put'), 201)
      assertOverQuota(await client.call('POST', '/v2/early/empty/blobs/uploads/'), 'early')
      const kept = locationOf(await client.call('POST', '/v2/early/full/blobs/uploads/'))
      assertStatus(await client.delete(kept), 204)
    })

    // In memory there are no files to look at.
    if (name === 'memory') return

    test('leave nothing of an upload whose room was taken while it came', async () => {
      const { client, server } = product
      const bytes = seededBytes('late', 60_000)
      const digest = digestOf(bytes)
      const raw = await RawConnection.open({ port: server.port })
      const path = `/v2/late/blobs/uploads/?digest=${digest}`
      raw.write(`POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: ${bytes.length}\r\n\r\n`)
      raw.write(bytes.subarray(0, 30_000))
      await poll('the upload under way', async () => {
        const { ingest } = JSON.parse((await adminCall(socket, '/status')).body) as Status
        return ingest.receiving === 1 || undefined
      })
      const rival = seededBytes('rival', 60_000)
      assertStatus(await tryPush(client, 'late/rival', rival, 'put'), 201)
      raw.write(bytes.subarray(30_000))
      assert.equal((await raw.reply()).status, 403)
      raw.reset()
      // Streamed as what the repository may hold already, and then it does not.
      const streamed = seededBytes('streamed', 50_000)
      const answer = await tryPush(client, 'late/rival', streamed, 'stream')
      assertOverQuota(answer, 'late')
      assert.equal((await usage.read('late')).bytes, rival.length)
      const written = filesBelow(product, 'blobs').join('\n')
      assert.ok(written.includes(digestOf(rival).slice(7)))
      for (const refused of [digest, digestOf(streamed)]) {
        assert.ok(!written.includes(refused.slice(7)), written)
      }
    })

    test('leave nothing of a refused upload', async () => {
      const { client } = product
      for (const way of pushWays) {
        const bytes = seededBytes(`refused ${way}`, 5_000)
        assertOverQuota(await tryPush(client, 'early/none', bytes, way), 'early')
        assertStatus(await client.get(`/v2/early/none/blobs/${digestOf(bytes)}`), 404)
        const hex = digestOf(bytes).slice(7)
        assert.deepEqual(
          filesBelow(product, 'blobs').filter((file) => file.includes(hex)),
          [],
        )
      }
      await poll('no open uploads', async () => {
        const { uploadsOpen } = JSON.parse((await adminCall(socket, '/status')).body) as Status
        return uploadsOpen === 0 || undefined
      })
      assert.deepEqual(filesBelow(product, '_keelson/uploads'), [])
    })
  })
}
