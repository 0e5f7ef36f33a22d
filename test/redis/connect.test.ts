// Goal: the link works with every kind of Redis that can be configured, and with one that hangs or refuses
// it says so in time. Method: real servers on loopback: with TLS, with a user, a cluster, a sentinel.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { RedisConfig } from '../../src/config/schema.ts'
import { Secret } from '../../src/config/secret.ts'
import { connectRedis } from '../../src/redis/connect.ts'
import type { RedisLink, ScriptLink } from '../../src/redis/contract.ts'
import { poll } from '../http/product.ts'
import { startDaemon } from '../support/daemon.ts'
import { createPki } from '../support/pki.ts'
import { freePort, needsRedis, type RedisOptions, RedisServer } from '../support/redis.ts'
import { run } from '../support/run.ts'
import { projectRoot } from '../support/server.ts'
import { findTool, needs } from '../support/tools.ts'
import { until } from '../support/until.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-redis-'))
const running: { stop(): unknown }[] = []
const links: RedisLink[] = []
after(async () => {
  for (const link of links) link.close()
  await Promise.all(running.map((each) => each.stop()))
  rmSync(folder, { recursive: true, force: true })
})

const plain: RedisConfig = {
  ...{ url: '', moreUrls: [], sentinelName: undefined, cluster: false },
  ...{ username: undefined, password: undefined, keyPrefix: 'keelson:', timeoutMs: 2_000 },
  ...{ serverCaBundle: undefined, clientCertificate: undefined, clientPrivateKey: undefined },
  ...{ clientPrivateKeyPassphrase: undefined, hashKey: undefined },
}

let folders = 0

async function start(options: Omit<RedisOptions, 'dir'> = {}): Promise<RedisServer> {
  folders += 1
  const dir = join(folder, String(folders))
  mkdirSync(dir)
  const redis = await RedisServer.start({ dir, ...options })
  running.push(redis)
  return redis
}

interface Open {
  readonly link: RedisLink & ScriptLink
  readonly messages: string[]
  readonly faults: string[]
}

async function open(config: Partial<RedisConfig>): Promise<Open> {
  const [messages, faults]: [string[], string[]] = [[], []]
  const link = await connectRedis(
    { ...plain, ...config },
    {
      random: () => 0,
      events: {
        onReady: () => {},
        onMessage: (message) => messages.push(message),
        onFault: (reason) => faults.push(reason),
      },
    },
  )
  links.push(link)
  return { link, messages, faults }
}

/** Everything that is asked of a link. */
async function exercise({ link, messages }: Open): Promise<void> {
  await until('the link is ready', () => link.isReady)
  await link.subscribe('keelson:a')
  await link.subscribe('keelson:a')
  assert.equal(await link.readField('keelson:a', 'x'), undefined)
  await link.write('keelson:a', { x: '1', y: '2' })
  assert.equal(await link.readField('keelson:a', 'x'), '1')
  const many = Object.fromEntries(
    Array.from({ length: 1_500 }, (_, i) => [`f${i}`, 'v'.repeat(70)]),
  )
  await link.write('keelson:a', many)
  const seen = new Set<string>()
  for (let cursor = ''; cursor !== '0'; ) {
    const page = await link.readPage('keelson:a', cursor === '' ? '0' : cursor)
    cursor = page.cursor
    for (const [field] of page.pairs) seen.add(field)
  }
  assert.equal(seen.size, 1_502)
  await link.remove('keelson:a', ['x', 'y'])
  assert.equal(await link.readField('keelson:a', 'x'), undefined)
  await link.expire('keelson:a', 60_000)
  const script = "redis.call('SET', KEYS[1], ARGV[1]) return {redis.call('GET', KEYS[1]), KEYS[2]}"
  const keys = ['keelson:{a}:1', 'keelson:{a}:2']
  assert.deepEqual(await link.run(script, keys, ['x']), ['x', 'keelson:{a}:2'])
  await assert.rejects(link.run("return redis.error_reply('no')", ['keelson:a'], []), /no/)
  await link.publish('keelson:a', 'hello')
  await until('the message is heard', () => messages.length > 0)
  assert.deepEqual(messages, ['hello'])
}

describe('a link to Redis', needsRedis, () => {
  test('works on loopback, and in another database', async () => {
    const redis = await start()
    await exercise(await open({ url: redis.url }))
    await exercise(await open({ url: `${redis.url}/3` }))
    assert.equal(await redis.cli('-n', '3', 'EXISTS', 'keelson:a'), '1')
  })

  test('works over TLS with a client certificate, and trusts no other CA', async () => {
    const pki = await createPki(join(folder, 'pki'))
    const redis = await start({ pki })
    const { client, serverCa, clientCa } = pki
    const files = {
      serverCaBundle: serverCa.certificateFile,
      clientCertificate: client.bundleFile,
      clientPrivateKey: client.keyFile,
    }
    await exercise(await open({ url: redis.url, ...files }))
    const alien = await open({
      ...{ url: redis.url, ...files, serverCaBundle: clientCa.certificateFile },
    })
    await until('it is refused', () => alien.faults.length > 0)
    assert.match(alien.faults[0] ?? '', /certificate/)
    assert.equal(alien.link.isReady, false)
    const nobody = await open({ url: redis.url, serverCaBundle: serverCa.certificateFile })
    await until('it is refused', () => nobody.faults.length > 0)
    assert.equal(nobody.link.isReady, false)
  })

  test('may be given up in the middle of a handshake that will fail', async () => {
    const pki = await createPki(join(folder, 'pki-handshake'))
    const redis = await start({ pki })
    const { client, clientCa } = pki
    const config = {
      url: redis.url,
      serverCaBundle: clientCa.certificateFile,
      clientCertificate: client.bundleFile,
      clientPrivateKey: client.keyFile,
    }
    // It has our hello, and then our good-bye, when it answers. What nothing catches fails this test.
    for (const way of ['reset', 'close'] as const) {
      redis.pause()
      const opened = await Promise.all(Array.from({ length: 10 }, () => open(config)))
      await pause(50)
      for (const { link } of opened) link[way]()
      redis.resume()
      if (way === 'reset')
        await until('refused', () => opened.every(({ faults }) => faults.length > 0))
      await pause(50)
      for (const { link } of opened) link.close()
    }
  })

  test('works as a user that may do no more than docs/several-hosts.md says', async () => {
    const page = readFileSync(join(projectRoot, 'docs', 'several-hosts.md'), 'utf8')
    const rights = /^~keelson:.*$/m.exec(page)?.[0].split(' ') ?? []
    const user = ['--user', 'keelson', 'on', '>s3cret', ...rights]
    const redis = await start({ args: [...user, '--user', 'default', 'off'] })
    const { url } = redis
    await exercise(await open({ url, username: 'keelson', password: new Secret('s3cret') }))
    const wrong = await open({ url, username: 'keelson', password: new Secret('not-this') })
    await until('it is refused', () => wrong.faults.length > 0)
    assert.match(wrong.faults[0] ?? '', /WRONGPASS/)
    assert.ok(!wrong.faults.join().includes('not-this'))
    await assert.rejects(wrong.link.readField('a', 'b'))
  })

  test('says in time that nobody answers, queues nothing, and works again afterwards', async () => {
    const redis = await start()
    const opened = await open({ url: redis.url, timeoutMs: 200 })
    const { link, faults } = opened
    await until('the link is ready', () => link.isReady)
    await link.subscribe('keelson:a')
    redis.pause()
    const began = performance.now()
    const calls = [link.readField('a', 'b'), link.subscribe('keelson:a'), link.publish('a', 'b')]
    const results = await Promise.allSettled(calls)
    assert.ok(performance.now() - began < 2_000)
    assert.deepEqual(new Set(results.map(({ status }) => status)), new Set(['rejected']))
    link.reset()
    await until('it is not ready', () => !link.isReady)
    const refused = performance.now()
    await assert.rejects(link.publish('a', 'b'))
    assert.ok(performance.now() - refused < 150)
    redis.resume()
    await exercise(opened)
    await redis.kill()
    await until('the end is told', () => faults.includes('the connection was closed'))
    await redis.start()
    opened.messages.length = 0
    await exercise(opened)
  })

  test('waits longer for each attempt', async () => {
    const port = await freePort()
    const began = performance.now()
    const { faults } = await open({ url: `redis://127.0.0.1:${port}` })
    await until('some attempts have failed', () => faults.length >= 8)
    // Of the two connections, at least 50 and 200 and 800 ms of one.
    assert.ok(performance.now() - began > 1_000)
    assert.match(faults[0] ?? '', /ECONNREFUSED/)
  })

  test('refuses files that cannot be used', async () => {
    const file = join(folder, 'no.pem')
    await assert.rejects(open({ url: 'rediss://a.test', serverCaBundle: file }), /server_ca_bundle/)
    await assert.rejects(open({ url: 'redis://127.0.0.1/1', cluster: true }), /no databases/)
  })

  test('finds the shard of a cluster that has the key', async () => {
    const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000']
    const nodes = await Promise.all([0, 1, 2].map(() => start({ args })))
    const places = nodes.map(({ port }) => `127.0.0.1:${port}`)
    await run('redis-cli', ['--cluster', 'create', ...places, '--cluster-yes'])
    for (const node of nodes) {
      await poll('the node serves its slots', async () =>
        (await node.cli('CLUSTER', 'INFO')).includes('cluster_state:ok') ? true : undefined,
      )
    }
    const [first, ...others] = nodes.map(({ url }) => url)
    await exercise(await open({ url: first ?? '', moreUrls: others, cluster: true }))
  })
})

describe('a link by way of a sentinel', needs('redis-server', 'redis-sentinel'), () => {
  test('finds the master', async () => {
    const master = await start()
    const port = await freePort()
    const file = join(folder, 'sentinel.conf')
    writeFileSync(
      file,
      `port ${port}\nbind 127.0.0.1\ndir ${folder}\nsentinel monitor registry 127.0.0.1 ${master.port} 1\n`,
    )
    const sentinel = await startDaemon<true>({
      command: findTool('redis-sentinel') ?? 'redis-sentinel',
      args: [file],
      onLine: (line) => (line.includes('+monitor master registry') ? true : undefined),
    })
    running.push(sentinel)
    await exercise(await open({ url: `redis://127.0.0.1:${port}`, sentinelName: 'registry' }))
    assert.equal(await master.cli('EXISTS', 'keelson:a'), '1')
  })
})
