// Goal: memory is filled before rounds of writes only where a host takes it back, and never too much.
// Method: made directories in place of /sys; small amounts; cores and a directory that are not there.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { bytesToFill, fillFreeMemory, hostTakesMemoryBack } from '../../bench/host-memory.ts'

const GIB = 1 << 30
const folder = mkdtempSync(join(tmpdir(), 'keelson-bench-memory-'))
after(() => rmSync(folder, { recursive: true, force: true }))

test('a machine gives memory back where its kernel can and a balloon device is bound', () => {
  const parameter = join(folder, 'page_reporting_order')
  const balloons = join(folder, 'virtio_balloon')
  const places = { parameter, balloons }
  assert.equal(hostTakesMemoryBack(places), false)
  writeFileSync(parameter, '9')
  assert.equal(hostTakesMemoryBack(places), false, 'no driver')
  mkdirSync(balloons)
  writeFileSync(join(balloons, 'uevent'), '')
  assert.equal(hostTakesMemoryBack(places), false, 'a driver, no device')
  mkdirSync(join(balloons, 'virtio0'))
  assert.equal(hostTakesMemoryBack(places), true)
})

test('as much as a round can write, and never more than a quarter of what is free', () => {
  assert.equal(bytesToFill(2, 64 * GIB), 1.5 * GIB)
  assert.equal(bytesToFill(60, 8 * GIB), 2 * GIB)
  assert.equal(bytesToFill(3, 0), 0)
})

test('it is filled with a file that leaves nothing behind, or the round does not begin', () => {
  const room = mkdtempSync(join(folder, 'room-'))
  fillFreeMemory(3 * 4096 + 1, room, undefined)
  fillFreeMemory(0, room, undefined)
  assert.deepEqual(readdirSync(room), [])
  assert.throws(() => fillFreeMemory(4096, room, 'no-core'), /memory could not be filled/)
  assert.throws(() => fillFreeMemory(4096, join(room, 'away'), undefined), /exit code 1/)
})
