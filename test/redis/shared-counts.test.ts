// Goal: hosts that share a real Redis let through together what one would, and no more than a slack each
// beyond it; whatever happens to Redis they go on alone within a moment, and together again without a
// person. Method: hosts in one process with links of their own, and a Redis that is killed, emptied, stopped,
// cut off, refuses, is told nonsense, is a cluster, or fails over.
import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { RedisConfig } from '../../src/config/schema.ts'
import { Secret } from '../../src/config/secret.ts'
import { BucketTable } from '../../src/limit/bucket-table.ts'
import type { BucketRate } from '../../src/limit/contract.ts'
import { Settler } from '../../src/limit/settler.ts'
import { lackingMaxOf, SharedBuckets, slackOf } from '../../src/limit/shared-buckets.ts'
import { connectRedis } from '../../src/redis/connect.ts'
import { RedisCounts } from '../../src/redis/shared-counts.ts'
import { poll } from '../http/product.ts'
import { startDaemon } from '../support/daemon.ts'
import { freePort, needsRedis, type RedisOptions, RedisServer } from '../support/redis.ts'
import { run } from '../support/run.ts'
import { projectRoot } from '../support/server.ts'
import { startTcpRelay } from '../support/tcp-relay.ts'
import { findTool, needs } from '../support/tools.ts'
import { until } from '../support/until.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-counts-'))
const running: { stop(): unknown }[] = []
const hosts: Host[] = []
after(async () => {
  await Promise.all(hosts.map(({ settler }) => settler.close()))
  await Promise.all(running.map((each) => each.stop()))
  rmSync(folder, { recursive: true, force: true })
})

const plain: RedisConfig = {
  ...{ url: '', moreUrls: [], sentinelName: undefined, cluster: false },
  ...{ username: undefined, password: undefined, keyPrefix: 'keelson:', timeoutMs: 1_000 },
  ...{ serverCaBundle: undefined, clientCertificate: undefined, clientPrivateKey: undefined },
  ...{ clientPrivateKeyPassphrase: undefined, hashKey: undefined },
}
const key = 'a key that nobody else has, or so we hope'
// So slow that nothing comes back during a test.
const rate: BucketRate = { capacity: 200, tokensPerMs: 200 / (30 * 86_400_000) }
const slack = slackOf(rate)

let folders = 0

async function start(options: Omit<RedisOptions, 'dir'> = {}): Promise<RedisServer> {
  folders += 1
  const dir = join(folder, String(folders))
  mkdirSync(dir)
  const redis = await RedisServer.start({ dir, ...options })
  running.push(redis)
  return redis
}

interface Host {
  readonly buckets: SharedBuckets
  readonly settler: Settler
  readonly counts: RedisCounts
  readonly said: string[]
}

async function open(config: Partial<RedisConfig>, limit = 'pulls', of = rate): Promise<Host> {
  const said: string[] = []
  const settler = new Settler({
    ...{ now: () => performance.now(), random: Math.random, soon: setImmediate },
    after: (ms, action) => {
      const timer = setTimeout(action, ms)
      return () => clearTimeout(timer)
    },
    onOutage: (reason) => said.push(reason),
    onRecovery: () => said.push('recovered'),
  })
  const link = await connectRedis(
    { ...plain, ...config },
    {
      ...{ random: () => 0, listens: false },
      events: {
        onReady: () => settler.connected(),
        onMessage: () => {},
        onFault: (reason) => settler.lost(reason),
      },
    },
  )
  const hashKey = createSecretKey(Buffer.from(key))
  const counts = new RedisCounts({ link, keyPrefix: 'keelson:', hashKey })
  settler.start(counts)
  const own = new BucketTable(of, 1_000)
  const buckets = new SharedBuckets({ limit, rate: of, own, settler, counts, keysMax: 1_000 })
  const host = { buckets, settler, counts, said }
  hosts.push(host)
  return host
}

async function openUp(config: Partial<RedisConfig>, limit?: string): Promise<Host> {
  const host = await open(config, limit)
  await until('the host shares', () => host.settler.isUp)
  return host
}

/** One request as the limits ask for it: it waits where it has to. */
async function ask({ buckets }: Host, caller = 'alice'): Promise<boolean> {
  const end = performance.now() + 100
  for (;;) {
    const settling = buckets.settling(caller, performance.now())
    if (settling === undefined) break
    await settling
    if (performance.now() >= end) break
  }
  return buckets.take(caller, performance.now()) === 0
}

async function countAdmitted(of: readonly Host[], requests: number): Promise<number> {
  const all = of.flatMap((host) => Array.from({ length: requests }, () => ask(host)))
  return (await Promise.all(all)).filter(Boolean).length
}

/** That it was what is left, and a slack more at most for each host but one. */
function assertTogether(of: readonly Host[], admitted: number, left: number): void {
  // A request that had to wait for too long, on a busy machine, is counted alone, and told so.
  const alone = of.reduce((sum, { settler }) => sum + settler.figures.alone, 0)
  const most = left + of.length * slack + alone
  assert.ok(admitted >= left - slack && admitted <= most, `${admitted} of ${left}, ${alone} alone`)
}

async function untilUp(host: Host, isUp: boolean): Promise<void> {
  await until(`up is ${isUp}`, () => host.settler.isUp === isUp, 60_000)
}

/** Both let through what they may alone. */
async function assertAlone(of: readonly Host[]): Promise<void> {
  for (const host of of) {
    await untilUp(host, false)
    assert.ok((await countAdmitted([host], 2 * rate.capacity)) <= rate.capacity)
  }
}

describe('shared counts in Redis', needsRedis, () => {
  test('three hosts let through what one would, and a slack each more at most', async () => {
    const redis = await start()
    const three = await Promise.all([0, 1, 2].map(() => openUp({ url: redis.url })))
    const admitted = await countAdmitted(three, 2 * rate.capacity)
    assertTogether(three, admitted, rate.capacity)
    assert.equal(await countAdmitted(three, 20), 0)
    const rounds = three.reduce((sum, { settler }) => sum + settler.figures.rounds, 0)
    assert.ok(rounds < admitted, `${rounds} rounds for ${admitted}`)
  })

  test('what is in Redis names nobody, and goes when the bucket is full', async () => {
    const redis = await start()
    const host = await openUp({ url: redis.url })
    assert.equal(await ask(host, 'user alice'), true)
    assert.equal(await ask(host, '192.0.2.77'), true)
    await poll('both are told', async () =>
      Number(await redis.cli('DBSIZE')) >= 2 ? true : undefined,
    )
    const keys = (await redis.cli('KEYS', '*')).split('\n')
    assert.ok(
      keys.every((each) => /^keelson:\{limits\}:([\w-]{24}|probe)$/.test(each)),
      keys.join(),
    )
    for (const each of keys) {
      const millis = Number(await redis.cli('PTTL', each))
      // One of 200 tokens comes back in 3.6 hours; the probe lasts for a second, and may be gone.
      assert.ok(millis === -2 || (millis > 0 && millis <= 13_000_000), `${each} ${millis}`)
    }
    const [other, another] = ['x'.repeat(32), key].map(
      (text) =>
        new RedisCounts({
          link: undefined as never,
          keyPrefix: 'keelson:',
          hashKey: createSecretKey(Buffer.from(text)),
        }),
    )
    const name = host.counts.nameOf('pulls', rate, 'user alice')
    assert.equal(another?.nameOf('pulls', rate, 'user alice'), name)
    assert.notEqual(other?.nameOf('pulls', rate, 'user alice'), name)
    assert.notEqual(host.counts.nameOf('pull', rate, 'suser alice'), name)
    assert.notEqual(host.counts.nameOf('pulls', { ...rate, capacity: 7 }, 'user alice'), name)
  })

  test('tokens come back by the clock of Redis', async () => {
    const redis = await start()
    const fast: BucketRate = { capacity: 10, tokensPerMs: 1 / 50 }
    const [a, b] = await Promise.all([0, 1].map(() => open({ url: redis.url }, 'fast', fast)))
    assert.ok(a && b)
    await untilUp(a, true)
    await untilUp(b, true)
    const began = performance.now()
    await countAdmitted([a], 20)
    let admitted = 0
    await until('ten came back', () => {
      if (b.buckets.settling('alice', performance.now()) === undefined) {
        admitted += b.buckets.take('alice', performance.now()) === 0 ? 1 : 0
      }
      return admitted >= 10 + slackOf(fast)
    })
    assert.ok(performance.now() - began > 400)
  })

  test('as a user that may do no more than docs/several-hosts.md says', async () => {
    const page = readFileSync(join(projectRoot, 'docs', 'several-hosts.md'), 'utf8')
    const rights = /^~keelson:.*$/m.exec(page)?.[0].split(' ') ?? []
    const user = ['--user', 'keelson', 'on', '>s3cret', ...rights]
    const redis = await start({ args: [...user, '--user', 'default', 'off'] })
    const as = { url: redis.url, username: 'keelson', password: new Secret('s3cret') }
    const two = await Promise.all([openUp(as), openUp(as)])
    assertTogether(two, await countAdmitted(two, 2 * rate.capacity), rate.capacity)
  })

  test('a user who may not: each host counts alone, until the right is given', async () => {
    const redis = await start()
    await redis.cli('ACL', 'SETUSER', 'keelson', 'on', '>s3cret', '~keelson:*', '+info', '+eval')
    const as = { url: redis.url, username: 'keelson', password: new Secret('s3cret') }
    const host = await open(as)
    await until('it is refused', () => host.said.length > 0)
    assert.match(host.said[0] ?? '', /permission|can't run this command/i)
    await assertAlone([host])
    await redis.cli('ACL', 'SETUSER', 'keelson', '+time', '+get', '+set')
    await untilUp(host, true)
    assert.equal(host.said.at(-1), 'recovered')
    // And taken away again.
    await redis.cli('ACL', 'SETUSER', 'keelson', '-eval')
    await ask(host, 'bob')
    await untilUp(host, false)
  })

  test('killed, and back without a memory: alone meanwhile, then together', async () => {
    const redis = await start()
    const two = await Promise.all([0, 1].map(() => openUp({ url: redis.url })))
    const [a, b] = two as [Host, Host]
    assert.equal(await countAdmitted([a], 50), 50)
    await redis.kill()
    await untilUp(a, false)
    await untilUp(b, false)
    // Of its own 200, 150 are left to one, and all to the other.
    assert.equal(await countAdmitted([a], 300), 150)
    assert.equal(await countAdmitted([b], 300), 200)
    assert.ok(a.settler.figures.alone >= 150)
    await redis.start()
    for (const host of two) await untilUp(host, true)
    assert.deepEqual([a.said.length, a.said.at(-1)], [2, 'recovered'])
    const fresh = await openUp({ url: redis.url })
    await poll('a host that is new hears of it', async () =>
      (await countAdmitted([fresh], 1)) === 0 ? true : undefined,
    )
    assert.equal(await countAdmitted(two, 5), 0)
    assertTogether([fresh], await countAdmitted([fresh], 300), 0)
  })

  test('emptied under the hosts: told again by who goes on', async () => {
    const redis = await start()
    const a = await openUp({ url: redis.url })
    assert.equal(await countAdmitted([a], 150), 150)
    await redis.cli('FLUSHALL')
    assert.equal(await ask(a), true)
    const b = await openUp({ url: redis.url })
    const name = `keelson:{limits}:${a.counts.nameOf('pulls', rate, 'alice')}`
    await poll('it is told', async () =>
      Number((await redis.cli('GET', name)).split(' ')[0]) >= 150 ? true : undefined,
    )
    assertTogether([a, b], await countAdmitted([b], 300), 49)
  })

  test('stopped for ten seconds: no request waits long, and it comes back by itself', async () => {
    const redis = await start()
    const timeoutMs = 9_000
    const two = await Promise.all([0, 1].map(() => openUp({ url: redis.url, timeoutMs })))
    redis.pause()
    const stoppedAt = performance.now()
    const began = performance.now()
    const [one, other] = await Promise.all(two.map((host) => countAdmitted([host], 300)))
    const tookMs = performance.now() - began
    assert.deepEqual([one, other], [200, 200])
    // 100 ms each at most, all at the same time: not the nine seconds of a command.
    assert.ok(tookMs < 6_000, `${tookMs} ms`)
    await assertAlone(two)
    const isOver = (): boolean => performance.now() - stoppedAt > 10_000
    await until('ten seconds have passed', isOver)
    redis.resume()
    for (const host of two) await untilUp(host, true)
    for (const { said } of two) assert.deepEqual([said.length, said.at(-1)], [2, 'recovered'])
    assert.equal(await countAdmitted(two, 50), 0)
  })

  test('one host cut off counts alone, the others together; then all do', async () => {
    const redis = await start()
    const relay = await startTcpRelay(redis.port)
    running.push(relay)
    const cut = await openUp({ url: `redis://127.0.0.1:${relay.port}` })
    const others = await Promise.all([0, 1].map(() => openUp({ url: redis.url })))
    // Neither an end nor an answer: as where a cable is pulled.
    relay.freeze()
    assert.equal(await countAdmitted([cut], 300), 200)
    await untilUp(cut, false)
    assertTogether(others, await countAdmitted(others, 300), rate.capacity)
    relay.thaw()
    await untilUp(cut, true)
    assert.equal(await countAdmitted([cut, ...others], 50), 0)
  })

  test('what others write there is put right, or passed for what it is', async () => {
    const redis = await start()
    const a = await openUp({ url: redis.url })
    const name = `keelson:{limits}:${a.counts.nameOf('pulls', rate, 'alice')}`
    const settle = (spent: number, wasAlone = false) =>
      a.counts.settle([
        {
          bucket: a.counts.nameOf('pulls', rate, 'alice'),
          ...{ tokensPerMs: rate.tokensPerMs, spent, lacking: 7, wasAlone },
          lackingMax: lackingMaxOf(rate),
        },
      ])
    const about = ([missing = Number.NaN]: readonly number[]) => Math.round(missing)
    for (const wrong of ['x', '1e9 5', '-5 1', 'nan nan', '5 ', '{"a":1}', '']) {
      await redis.cli('SET', name, wrong)
      assert.equal(about(await settle(3)), 10, wrong)
    }
    await redis.cli('DEL', name)
    await redis.cli('HSET', name, 'a', 'b')
    assert.equal(about(await settle(3)), 10)
    assert.equal(about(await settle(3)), 13)
    assert.equal(about(await settle(0, true)), 13)
    // A time to come is no time that has to pass first, and debts are let off.
    await redis.cli('SET', name, `5 ${(Date.now() + 1e9).toFixed(3)}`)
    assert.equal(about(await settle(1)), 6)
    assert.match(await redis.cli('GET', name), new RegExp(` ${String(Date.now()).slice(0, 5)}`))
    await redis.cli('SET', name, `999999999999 ${Date.now()}`)
    assert.equal(about(await settle(1)), lackingMaxOf(rate))
    assert.equal(about(await settle(1e9)), lackingMaxOf(rate))
  })

  test('in a cluster', async () => {
    const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000']
    const nodes = await Promise.all([0, 1, 2].map(() => start({ args })))
    const places = nodes.map(({ port }) => `127.0.0.1:${port}`)
    await run('redis-cli', ['--cluster', 'create', ...places, '--cluster-yes'])
    for (const node of nodes) {
      await poll('the node serves its slots', async () =>
        (await node.cli('CLUSTER', 'INFO')).includes('cluster_state:ok') ? true : undefined,
      )
    }
    const [first = '', ...moreUrls] = nodes.map(({ url }) => url)
    const two = await Promise.all([0, 1].map(() => openUp({ url: first, moreUrls, cluster: true })))
    const callers = Array.from({ length: 50 }, (_, i) => `caller ${i}`)
    const all = await Promise.all(two.flatMap((host) => callers.map((each) => ask(host, each))))
    assert.ok(all.every(Boolean))
    assertTogether(two, await countAdmitted(two, 2 * rate.capacity), rate.capacity)
  })
})

describe('shared counts and a sentinel', needs('redis-server', 'redis-sentinel'), () => {
  test('go on with the replica that becomes the master', async () => {
    const master = await start()
    const replica = await start({ args: ['--replicaof', '127.0.0.1', String(master.port)] })
    const port = await freePort()
    const file = join(folder, 'sentinel.conf')
    writeFileSync(
      file,
      `port ${port}\nbind 127.0.0.1\ndir ${folder}\n` +
        `sentinel monitor registry 127.0.0.1 ${master.port} 1\n` +
        'sentinel down-after-milliseconds registry 1000\nsentinel failover-timeout registry 5000\n',
    )
    const sentinel = await startDaemon<true>({
      command: findTool('redis-sentinel') ?? 'redis-sentinel',
      args: [file],
      onLine: (line) => (line.includes('+slave ') ? true : undefined),
    })
    running.push(sentinel)
    await poll('the replica follows', async () =>
      (await replica.cli('INFO', 'replication')).includes('master_link_status:up')
        ? true
        : undefined,
    )
    const at = { url: `redis://127.0.0.1:${port}`, sentinelName: 'registry' }
    const two = await Promise.all([0, 1].map(() => openUp(at)))
    const [a, b] = two as [Host, Host]
    assert.equal(await countAdmitted([a], 100), 100)
    const name = `keelson:{limits}:${a.counts.nameOf('pulls', rate, 'alice')}`
    await poll('the replica has it', async () =>
      Number((await replica.cli('GET', name)).split(' ')[0]) >= 100 - slack ? true : undefined,
    )
    await master.kill()
    await untilUp(a, false)
    await untilUp(b, false)
    await untilUp(a, true)
    await untilUp(b, true)
    // The last of what one let through may have been lost with the master.
    const admitted = await countAdmitted([b], 300)
    assertTogether(two, admitted, 100)
  })
})
