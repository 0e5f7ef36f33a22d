// Goal: a quota that comes later, or is made smaller than what is there, refuses pushes alone; and two
// processes on one store keep one quota. Method: servers on one folder, one after the other and at once.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Dice, randomFrom } from '../support/dice.ts'
import { seededBytes } from '../support/images.ts'
import { assertStatus, digestOf, RegistryClient } from '../support/registry-client.ts'
import { type Server, startServer } from '../support/server.ts'
import { temporaryFolder } from './product.ts'
import { assertOverQuota, pushWays, socketFolder, tryPush, UsageReader } from './quota-scene.ts'
import { pushSampleBlobs, sampleImage } from './sample-content.ts'

async function withServers(
  starting: readonly Promise<Server>[],
  work: (clients: readonly RegistryClient[]) => Promise<void>,
): Promise<void> {
  const servers = await Promise.all(starting)
  const clients = servers.map(({ url }) => new RegistryClient(url))
  try {
    await work(clients)
  } finally {
    for (const client of clients) client.close()
    for (const server of servers) {
      assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.log.join('\n'))
    }
  }
}

describe('a quota that changes', () => {
  const folder = temporaryFolder()
  const socket = join(socketFolder(), 'admin.sock')
  const usage = new UsageReader(socket)
  const start = (quota: string): Promise<Server> => {
    const toml = `[admin]\nsocket = ${JSON.stringify(socket)}\n${quota}`
    return startServer({ rootDir: join(folder.path, 'changing'), toml })
  }

  test('refuses pushes, and neither pulls nor deletes, below what is there', async () => {
    let digest = ''
    const [layer = Buffer.alloc(0)] = sampleImage('before').blobs
    const next = seededBytes('next', 1)
    await withServers([start('')], async ([client]) => {
      const manifest = await pushSampleBlobs(client!, 'team/app', 'before')
      const pushed = await client!.putManifest('team/app', 'v1', manifest)
      digest = assertStatus(pushed.answer, 201).headers['docker-content-digest'] ?? ''
      await usage.assertExact()
    })
    await withServers([start('[global.quota]\nbytes = "10B"\ntags = 0\n')], async ([client]) => {
      const used = await usage.read('team')
      assert.ok(used.bytes > 10 && used.tags === 1)
      const image = assertStatus(await client!.get('/v2/team/app/manifests/v1'), 200).body
      assertStatus(await client!.get(`/v2/team/app/blobs/${digestOf(layer)}`), 200)
      assertOverQuota(await tryPush(client!, 'team/app', next, 'put'), '')
      assertOverQuota((await client!.putManifest('team/app', 'v2', image)).answer, '', 'tags')
      assertStatus((await client!.putManifest('team/app', 'v1', image)).answer, 201)
      assertStatus(await client!.delete(`/v2/team/app/manifests/${digest}`), 202)
      assertStatus(await client!.delete(`/v2/team/app/blobs/${digestOf(layer)}`), 202)
      const [, rest = Buffer.alloc(0)] = sampleImage('before').blobs
      assertStatus(await client!.delete(`/v2/team/app/blobs/${digestOf(rest)}`), 202)
      assert.equal((await usage.read('')).bytes, 0)
      assertStatus(await tryPush(client!, 'team/app', next, 'put'), 201)
      await usage.assertExact()
    })
  })
})

describe('two processes on one store', () => {
  const folder = temporaryFolder()
  const sockets = socketFolder()
  const limit = 600_000
  const start = (name: string): Promise<Server> => {
    const socket = JSON.stringify(join(sockets, name))
    const toml = `[storage]\nsharing = "shared"\n[admin]\nsocket = ${socket}\n[repository.two.quota]\nbytes = "${limit}B"\n`
    return startServer({ rootDir: join(folder.path, 'two'), toml })
  }

  async function pushUntilFull(
    clients: readonly RegistryClient[],
    number: number,
  ): Promise<number> {
    const dice = new Dice(randomFrom(number))
    let sum = 0
    for (let refusals = 0, i = 0; refusals < 2; i++) {
      const bytes = seededBytes(`${number} ${i}`, 4_000 + dice.below(20_000))
      const answer = await tryPush(
        dice.pick(clients),
        `two/${number % 3}`,
        bytes,
        dice.pick(pushWays),
      )
      if (answer.status === 201) sum += bytes.length
      else assertOverQuota(answer, 'two')
      if (answer.status !== 201) refusals += 1
    }
    return sum
  }

  test('keep one quota to the byte', async () => {
    await withServers([start('a'), start('b')], async (clients) => {
      const sums = await Promise.all(
        Array.from({ length: 16 }, (_, i) => pushUntilFull(clients, i)),
      )
      const sum = sums.reduce((total, each) => total + each, 0)
      assert.ok(sum <= limit && sum > limit - 100_000, `${sum} of ${limit}`)
      for (const name of ['a', 'b']) {
        const usage = new UsageReader(join(sockets, name))
        assert.equal((await usage.read('two')).bytes, sum)
        await usage.assertExact()
      }
      const rest = seededBytes('rest', limit - sum)
      assertStatus(await tryPush(clients[0]!, 'two/0', rest, 'patch'), 201)
      assertOverQuota(await tryPush(clients[1]!, 'two/1', seededBytes('x', 1), 'post'), 'two')
    })
  })
})
