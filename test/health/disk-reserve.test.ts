// Goal: pushes are admitted while they leave the reserve alone, bodies under way may use half of it, and
// the state changes once in each direction. Method: file systems that are numbers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ReserveFigures } from '../../src/health/contract.ts'
import { type DiskPlace, DiskReserve, type Room } from '../../src/health/disk-reserve.ts'
import { openPlainReserve } from './reserve-scene.ts'

const mib = 1 << 20

test('what leaves the reserve alone is admitted, and nothing else', async (t) => {
  const { reserve, disk } = await openPlainReserve(t, { reserveMib: 100, freeMib: 150 })
  assert.equal(reserve.admits(0), true)
  assert.equal(reserve.admits(50 * mib), true)
  assert.equal(reserve.admits(50 * mib + 1), false)
  disk.awaited = 20 * mib
  assert.equal(reserve.admits(30 * mib), true)
  assert.equal(reserve.admits(30 * mib + 1), false)
  assert.equal(reserve.mayGoOn(), true)
  assert.equal(reserve.figures.refused, 2)
  assert.equal(reserve.figures.isLow, false)
})

test('bytes that came since the disk was measured count as written', async (t) => {
  const { reserve, disk } = await openPlainReserve(t, { reserveMib: 100, freeMib: 150 })
  disk.received = 40 * mib
  assert.equal(reserve.admits(10 * mib), true)
  assert.equal(reserve.admits(11 * mib), false)
  disk.received = 100 * mib
  assert.equal(reserve.mayGoOn(), true)
  disk.received = 100 * mib + 1
  assert.equal(reserve.mayGoOn(), false)
  // The client left, and its bytes were given back. The first is the one that is under way.
  await reserve.measure()
  await reserve.measure()
  assert.equal(reserve.mayGoOn(), true)
  assert.equal(reserve.admits(50 * mib), true)
})

test('below the reserve no push begins until there is an eighth more, and each change is told once', async (t) => {
  const { reserve, disk, changes } = await openPlainReserve(t, { reserveMib: 100, freeMib: 101 })
  for (const [freeMib, isLow] of [
    [101, false],
    [99, true],
    [100, true],
    [112, true],
    [99, true],
    [113, false],
    [101, false],
    [0, true],
  ] as const) {
    disk.freeMib = freeMib
    await reserve.measure()
    assert.equal(reserve.figures.isLow, isLow, String(freeMib))
    assert.equal(reserve.admits(0), !isLow)
  }
  assert.deepEqual(
    changes.map(({ isLow }) => isLow),
    [true, false, true],
  )
  assert.equal(reserve.figures.reached, 2)
})

test('half of the reserve is for what has begun', async (t) => {
  const { reserve, disk } = await openPlainReserve(t, { reserveMib: 100, freeMib: 60 })
  assert.equal(reserve.admits(0), false)
  assert.equal(reserve.mayGoOn(), true)
  disk.freeMib = 49
  await reserve.measure()
  assert.equal(reserve.mayGoOn(), false)
})

test('a file system that is short of inodes is low, and one that does not count them is not', async (t) => {
  const { reserve, disk } = await openPlainReserve(t, { reserveMib: 100, freeMib: 900 })
  disk.files = 1000
  disk.ffree = 100
  await reserve.measure()
  assert.equal(reserve.admits(0), false)
  await assert.rejects(reserve.look(), { message: /100 inodes free/ })
  disk.files = 0
  disk.ffree = 0
  await reserve.measure()
  assert.equal(reserve.admits(0), true)
})

test('the reserve that a reload sets counts from the next look on, and 0 is none', async (t) => {
  const { reserve, disk } = await openPlainReserve(t, { reserveMib: 100, freeMib: 50 })
  assert.equal(reserve.admits(0), false)
  disk.reserveMib = 0
  assert.equal(reserve.admits(1 << 30), true)
  assert.equal(reserve.mayGoOn(), true)
  await reserve.measure()
  assert.equal(reserve.figures.isLow, false)
  disk.reserveMib = 10
  assert.equal(reserve.admits(1), true)
})

test('either disk can stop pushes; bytes of bodies count on the disk of the blobs', async (t) => {
  const rooms: Record<string, number> = { '/b': 500, '/m': 500 }
  const changes: ReserveFigures[] = []
  const places: readonly DiskPlace[] = [
    { store: 'blobs', path: '/b' },
    { store: 'metadata', path: '/m' },
  ]
  const taking = { received: 0, awaited: 0 }
  const reserve = await DiskReserve.open({
    ...{ places, taking: () => taking, onChange: (figures) => changes.push(figures) },
    reserveBytes: () => 100 * mib,
    measure: async (path) => roomOf(rooms[path] ?? 0),
    deviceOf: async (path) => (path === '/b' ? 1 : 2),
  })
  t.after(() => reserve.close())
  assert.equal(reserve.admits(400 * mib), true)
  rooms['/m'] = 99
  await reserve.measure()
  assert.equal(reserve.admits(0), false)
  await assert.rejects(reserve.look(), {
    message: 'pushes are refused: blobs: 500 MiB free, metadata: 99 MiB free; reserve 100 MiB',
  })
  rooms['/m'] = 120
  await reserve.measure()
  assert.equal(reserve.admits(400 * mib), true)
})

test('stores on one file system are measured once', async (t) => {
  let measured = 0
  const reserve = await DiskReserve.open({
    places: [
      { store: 'blobs', path: '/data' },
      { store: 'metadata', path: '/data/metadata' },
    ],
    reserveBytes: () => mib,
    taking: () => ({ received: 0, awaited: 0 }),
    onChange: () => undefined,
    measure: async () => {
      measured += 1
      return roomOf(500)
    },
    deviceOf: async () => 7,
  })
  t.after(() => reserve.close())
  assert.equal(measured, 1)
  assert.equal(await reserve.look(), 'blobs and metadata: 500 MiB free; reserve 1 MiB')
})

test('a file system that does not answer refuses nothing, and is asked once', async (t) => {
  let asked = 0
  let hang = false
  const reserve = await DiskReserve.open({
    places: [{ store: 'blobs', path: '/data' }],
    reserveBytes: () => mib,
    taking: () => ({ received: 0, awaited: 0 }),
    onChange: () => undefined,
    measure: () => {
      asked += 1
      return hang ? new Promise(() => {}) : Promise.reject(new Error('no such device'))
    },
    deviceOf: () => Promise.reject(new Error('no such device')),
  })
  t.after(() => reserve.close())
  assert.equal(reserve.admits(1 << 30), true)
  await assert.rejects(reserve.look(), { message: 'a file system does not tell its room' })
  hang = true
  asked = 0
  for (let i = 0; i < 5; i++) void reserve.measure()
  assert.equal(asked, 1)
  assert.equal(reserve.admits(1 << 30), true)
})

test('stores in memory have no disk to fill', async (t) => {
  const reserve = await DiskReserve.open({
    ...{ places: [], reserveBytes: () => mib, onChange: () => undefined },
    taking: () => ({ received: 0, awaited: 0 }),
  })
  t.after(() => reserve.close())
  assert.equal(reserve.admits(1 << 30), true)
  assert.equal(await reserve.look(), 'in memory')
})

test('the file system of this machine can be measured', async (t) => {
  const reserve = await DiskReserve.open({
    ...{ places: [{ store: 'blobs', path: '/tmp' }], reserveBytes: () => 1 },
    ...{ taking: () => ({ received: 0, awaited: 0 }), onChange: () => undefined },
  })
  t.after(() => reserve.close())
  const [disk] = reserve.figures.disks
  assert.ok(disk && disk.sizeBytes >= disk.freeBytes && disk.freeBytes > 0)
})

function roomOf(freeMib: number): Room {
  return { bsize: 4096, blocks: 1 << 30, bavail: freeMib * 256, files: 0, ffree: 0 }
}

test('a chunk does not wait for a sum over all bodies', async (t) => {
  const { reserve, disk } = await openPlainReserve(t, { reserveMib: 100, freeMib: 150 })
  let sums = 0
  Object.defineProperty(disk, 'awaited', {
    get: () => {
      sums += 1
      return 0
    },
  })
  assert.equal(reserve.mayGoOn(), true)
  assert.equal(sums, 0)
  assert.equal(reserve.admits(1), true)
  assert.equal(sums, 1)
})
