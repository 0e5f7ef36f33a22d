// Counting connections whose ends are told without their names.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { test } from 'node:test'
import { Admission } from '../../../src/server/transport/admission.ts'
import {
  addressFromBytes,
  addressFromPacked,
  addressFromText,
} from '../../../src/server/transport/uws/address.ts'
import { ConnectionLedger } from '../../../src/server/transport/uws/connections.ts'
import {
  countListening,
  countPeersLater,
  countPeersNow,
} from '../../../src/server/transport/uws/peer-table.ts'
import { SwapBudget } from '../../../src/server/transport/uws/swap-budget.ts'
import { noLimits } from '../../contract/transport-scene.ts'
import { until } from '../../support/until.ts'

class Scene {
  readonly admission = new Admission({ ...noLimits, connectionsPerAddressMax: 2 })
  readonly peers = new Map<string, number>()
  readonly ledger: ConnectionLedger
  now = 0
  recounts = 0
  lookMs = 1
  tell: () => void = () => {}

  constructor() {
    this.ledger = new ConnectionLedger(this.admission, {
      now: () => this.now,
      countPeersNow: () => {
        this.recounts += 1
        this.now += this.lookMs
        return this.peers
      },
      countPeersLater: () => {
        this.recounts += 1
        return new Promise((resolve) => {
          const seen = new Map(this.peers)
          this.tell = () => resolve(seen)
        })
      },
    })
  }

  open(address: string, count = 1): void {
    for (let each = 0; each < count; each++) this.ledger.open(address)
    this.peers.set(address, (this.peers.get(address) ?? 0) + count)
  }

  close(address: string, count = 1): void {
    for (let each = 0; each < count; each++) this.ledger.close()
    this.peers.set(address, (this.peers.get(address) ?? 0) - count)
  }
}

test('while one address is connected, every end is its own', () => {
  const scene = new Scene()
  scene.open('a', 3)
  scene.close('a')
  assert.equal(scene.admission.connectionsOf('a'), 2)
  assert.equal(scene.ledger.hasMoreThan(2, 'a'), false)
  assert.equal(scene.recounts, 0)
})

test('an end of one of several is put down to the right one by the kernel’s table', () => {
  const scene = new Scene()
  scene.open('a', 3)
  scene.open('b', 3)
  scene.close('b', 2)
  assert.equal(scene.admission.connections, 4)
  assert.equal(scene.ledger.hasMoreThan(2, 'a'), true)
  assert.equal(scene.ledger.hasMoreThan(2, 'b'), false)
  assert.deepEqual(
    ['a', 'b'].map((each) => scene.admission.connectionsOf(each)),
    [3, 1],
  )
  assert.equal(scene.recounts, 1)
})

test('what the others cannot have ended is an address’s own, without a look at the table', () => {
  const scene = new Scene()
  scene.open('a', 10)
  scene.open('b')
  scene.close('a', 9)
  assert.equal(scene.ledger.hasMoreThan(2, 'a'), false)
  assert.equal(scene.recounts, 0)
})

test('looks at the table take a twentieth of the time at most', () => {
  const scene = new Scene()
  scene.open('b', 100)
  for (let round = 0; round < 1_000; round++) {
    scene.open('a', 3)
    scene.close('a', 3)
    scene.ledger.hasMoreThan(2, 'a')
    scene.now += 1
  }
  assert.ok(scene.recounts <= scene.now / 20, `${scene.recounts} in ${scene.now} ms`)
})

test('a table that is slow to read is waited for, and what came meanwhile is kept', async () => {
  const scene = new Scene()
  scene.lookMs = 10
  scene.open('a', 3)
  scene.open('b', 9)
  scene.close('b', 4)
  assert.equal(scene.ledger.hasMoreThan(2, 'a'), true)
  scene.now += 1_000
  scene.close('a', 2)
  assert.equal(scene.ledger.hasMoreThan(2, 'a'), true)
  scene.open('a')
  scene.open('b')
  scene.tell()
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(
    ['a', 'b'].map((each) => scene.admission.connectionsOf(each)),
    [2, 6],
  )
  assert.equal(scene.recounts, 2)
})

test('when nobody is connected, nobody is counted', () => {
  const scene = new Scene()
  scene.open('a', 3)
  scene.open('b', 2)
  scene.close('a', 3)
  scene.close('b', 2)
  const { admission } = scene
  assert.deepEqual(
    ['a', 'b'].map((each) => admission.connectionsOf(each)),
    [0, 0],
  )
  assert.equal(admission.connections, 0)
})

test('counts never fall below what is there, whatever comes and goes', () => {
  const scene = new Scene()
  const names = ['a', 'b', 'c', 'd']
  let seed = 7
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed % below
  }
  for (let step = 0; step < 5_000; step++) {
    const name = names[random(names.length)] ?? 'a'
    if (random(2) === 0) scene.open(name)
    else if ((scene.peers.get(name) ?? 0) > 0) scene.close(name)
    if (random(3) === 0) scene.ledger.hasMoreThan(random(4), name)
    scene.now += random(3)
    const total = names.reduce((sum, each) => sum + (scene.peers.get(each) ?? 0), 0)
    assert.equal(scene.admission.connections, total)
    for (const each of names) {
      assert.ok(scene.admission.connectionsOf(each) >= (scene.peers.get(each) ?? 0), each)
    }
  }
})

test('the kernel’s table tells who is connected, over IPv4, IPv6 and IPv4 in IPv6', async () => {
  const accepted: Socket[] = []
  const server: Server = createServer((socket) => accepted.push(socket))
  await new Promise<void>((resolve) => {
    server.listen(0, '::', resolve)
  })
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const { port } = address
  const from = (localAddress: string): Socket =>
    connect({ port, localAddress, host: localAddress.includes(':') ? '::1' : '127.0.0.1' })
  const clients = ['127.0.0.1', '127.0.0.1', '127.0.0.9', '::1'].map(from)
  await until('all are accepted', () => accepted.length === clients.length)
  const peers = countPeersNow(new Set([port]))
  assert.deepEqual([...(peers ?? [])].sort(), [
    ['127.0.0.1', 2],
    ['127.0.0.9', 1],
    ['::1', 1],
  ])
  assert.deepEqual(await countPeersLater(new Set([port])), peers)
  assert.equal(countListening('::', port), 1)
  assert.equal(countListening('127.0.0.1', port), 0)
  for (const socket of [...clients, ...accepted]) socket.destroy()
  server.close()
  await until('they are gone', () => (countPeersNow(new Set([port]))?.size ?? 0) === 0)
})

test('of a port that processes share, each counts its own connections', async () => {
  const source = `
    const { connect, createServer } = require('node:net')
    const server = createServer(() => {}).listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      const client = connect(port, '127.0.0.1', () => console.log(port))
      process.stdin.resume()
    })`
  const other = spawn(process.execPath, ['-e', source], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [told] = (await once(other.stdout, 'data')) as [Buffer]
  const port = Number(told)
  // Both ends of its connection are its own, and both are in the table.
  await until('all see it', () => countPeersNow(new Set([port]))?.get('127.0.0.1') === 1)
  const client = connect({ port, host: '127.0.0.1' })
  await once(client, 'connect')
  const clientPort = client.localPort ?? 0
  for (const count of [countPeersNow, countPeersLater]) {
    // The end of the connection that is ours has this port, the other one is a stranger's.
    assert.deepEqual([...((await count(new Set([clientPort]), true)) ?? [])], [['127.0.0.1', 1]])
    assert.deepEqual([...((await count(new Set([port]), true)) ?? [])], [])
  }
  client.destroy()
  other.kill()
})

test('addresses have one form', () => {
  const latin1 = (text: string): ArrayBuffer => new TextEncoder().encode(text).buffer
  const forms = {
    '': '',
    '192.0.2.1': '192.0.2.1',
    '0000:0000:0000:0000:0000:ffff:c000:0201': '192.0.2.1',
    '0000:0000:0000:0000:0000:0000:0000:0001': '::1',
    '2001:0db8:0000:0000:0001:0000:0000:000a': '2001:db8::1:0:0:a',
  }
  for (const [text, expected] of Object.entries(forms)) {
    assert.equal(addressFromText(latin1(text)), expected)
  }
  assert.equal(addressFromBytes(Buffer.from([192, 0, 2, 1])), '192.0.2.1')
  assert.equal(
    addressFromBytes(Buffer.from('00000000000000000000ffffc0000201', 'hex')),
    '192.0.2.1',
  )
  assert.equal(
    addressFromBytes(Buffer.from('20010db80000000000000000000000ff', 'hex')),
    '2001:db8::ff',
  )
  const packed = {
    '': '',
    c0000201: '192.0.2.1',
    c0000202: '192.0.2.2',
    ffffffff: '255.255.255.255',
    '00000000000000000000ffffc0000201': '192.0.2.1',
    '20010db80000000000000000000000ff': '2001:db8::ff',
    '20010db80000000000000000000000fe': '2001:db8::fe',
  }
  for (let times = 0; times < 2; times += 1) {
    for (const [hex, expected] of Object.entries(packed)) {
      const bytes = Uint8Array.from(Buffer.from(hex, 'hex')).buffer
      assert.equal(addressFromPacked(bytes), expected)
    }
  }
})

test('swaps are given in bursts, and then as time passes', () => {
  let now = 0
  const budget = new SwapBudget(() => now)
  const taken = (): number =>
    Array.from({ length: 1_000 }, () => budget.take()).filter(Boolean).length
  assert.equal(taken(), 20)
  now += 120
  assert.equal(taken(), 2)
  now += 1_000_000
  assert.equal(taken(), 20)
})
