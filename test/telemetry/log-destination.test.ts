// Goal: no line is lost while there is room for it, none comes out in part, and what had to be dropped
// is counted and told. Method: a sink of the test's own that is slow or fails, and real full devices.
import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type DestinationOptions, LogDestination } from '../../src/telemetry/log-destination.ts'
import { fileSink, type LogSink } from '../../src/telemetry/log-sink.ts'
import { needsTmpfs, withTmpfs } from '../support/small-tmpfs.ts'
import { until } from '../support/until.ts'

/** Keeps what it is given until the test says how each write ends. */
class HeldSink implements LogSink {
  readonly keepsApart = false
  written = ''
  sizes: number[] = []
  #pending: { bytes: Uint8Array; done: (error: Error | undefined, written: number) => void }[] = []

  get isBusy(): boolean {
    return this.#pending.length > 0
  }

  write(bytes: Uint8Array, done: (error: Error | undefined, written: number) => void): void {
    assert.ok(!this.isBusy, 'one write at a time')
    this.sizes.push(bytes.length)
    this.#pending.push({ bytes, done })
  }

  writeNow(bytes: Uint8Array): void {
    this.written += Buffer.from(bytes).toString()
  }

  /** End the write; with a code it fails after `size` bytes. */
  end(code?: string, size = 0): void {
    const [first] = this.#pending.splice(0)
    assert.ok(first)
    const out = code === undefined ? first.bytes.length : size
    this.written += Buffer.from(first.bytes.subarray(0, out)).toString()
    first.done(code === undefined ? undefined : Object.assign(new Error(code), { code }), out)
  }

  async next(): Promise<void> {
    await until('a write', () => this.isBusy)
  }
}

interface Told {
  readonly recoveries: (readonly [dropped: number, fault: string | undefined])[]
  readonly faults: string[]
}

function destinationOf(
  sink: LogSink,
  more: Partial<DestinationOptions> = {},
): Told & { readonly to: LogDestination } {
  const told: Told = { recoveries: [], faults: [] }
  const to = new LogDestination({
    ...{ sink, waitingBytesMax: 1000, writeBytesMax: 100, retryMs: 1 },
    onRecovery: (...recovery) => told.recoveries.push(recovery),
    onFault: (fault) => told.faults.push(fault),
    ...more,
  })
  return { ...told, to }
}

const line = (index: number): string => `${String(index).padStart(9, '0')}\n`

test('lines leave in order and in whole lines, at most so many bytes at a time', async () => {
  const sink = new HeldSink()
  const { to } = destinationOf(sink)
  for (let index = 0; index < 50; index += 1) to.write(line(index))
  assert.equal(sink.isBusy, false, 'nothing is written within the turn of a request')
  for (let write = 0; write < 5; write += 1) {
    await sink.next()
    sink.end()
  }
  assert.equal(sink.written, Array.from({ length: 50 }, (_, index) => line(index)).join(''))
  assert.deepEqual(sink.sizes, [100, 100, 100, 100, 100])
  assert.deepEqual(to.figures(), { written: 50, dropped: 0, waiting: 0, fault: undefined })
})

test('a line that is longer than a write may be leaves alone', async () => {
  const sink = new HeldSink()
  const { to } = destinationOf(sink)
  to.write(line(1))
  to.write(`${'x'.repeat(150)}\n`)
  to.write(line(2))
  for (let write = 0; write < 3; write += 1) {
    await sink.next()
    sink.end()
  }
  assert.deepEqual(sink.sizes, [10, 151, 10])
})

test('beyond the bound lines are dropped and counted, and one call tells when that is over', async () => {
  const sink = new HeldSink()
  const { to, recoveries } = destinationOf(sink)
  for (let index = 0; index < 130; index += 1) to.write(line(index))
  assert.deepEqual(to.figures(), { written: 0, dropped: 30, waiting: 100, fault: undefined })
  for (let write = 0; write < 4; write += 1) {
    await sink.next()
    sink.end()
  }
  assert.deepEqual(recoveries, [], 'still more than half of the room is taken')
  for (let write = 4; write < 10; write += 1) {
    await sink.next()
    sink.end()
  }
  assert.deepEqual(recoveries, [[30, undefined]])
  assert.deepEqual(to.figures(), { written: 100, dropped: 30, waiting: 0, fault: undefined })
})

test('after a failure nothing is lost, and a line that was cut is written again, whole', async () => {
  const sink = new HeldSink()
  const { to, faults, recoveries } = destinationOf(sink)
  for (let index = 0; index < 3; index += 1) to.write(line(index))
  await sink.next()
  sink.end('ENOSPC', 14)
  assert.deepEqual(to.figures(), { written: 1, dropped: 0, waiting: 2, fault: 'ENOSPC' })
  await sink.next()
  sink.end('ENOSPC', 0)
  await sink.next()
  sink.end('EIO', 1)
  await sink.next()
  to.write(line(3))
  sink.end()
  await sink.next()
  sink.end()
  assert.equal(sink.written, `${line(0)}0000\n${line(1)}${line(2)}${line(3)}`)
  assert.deepEqual(faults, ['ENOSPC'])
  assert.deepEqual(recoveries, [[0, 'EIO']])
  assert.deepEqual(to.figures(), { written: 4, dropped: 0, waiting: 0, fault: undefined })
})

test('what fails for ever holds no more than the bound', async () => {
  const sink = new HeldSink()
  const { to } = destinationOf(sink)
  for (let round = 0; round < 20; round += 1) {
    for (let index = 0; index < 50; index += 1) to.write(line(index))
    await sink.next()
    sink.end('EPIPE')
  }
  assert.deepEqual(to.figures(), { written: 0, dropped: 900, waiting: 100, fault: 'EPIPE' })
})

test('a flush ends when all is out, or when its time is over', async () => {
  const sink = new HeldSink()
  const { to } = destinationOf(sink)
  assert.equal(await to.flush(60_000), true)
  to.write(line(1))
  assert.equal(await to.flush(1), false)
  const flushed = to.flush(60_000)
  await sink.next()
  sink.end()
  assert.equal(await flushed, true)
})

test('at a sudden end what waits is written, unless a write is under way that could be cut', async () => {
  const idle = new HeldSink()
  const { to } = destinationOf(idle)
  to.write(line(1))
  to.flushNow()
  assert.equal(idle.written, line(1))
  const busy = new HeldSink()
  const { to: other } = destinationOf(busy)
  other.write(line(1))
  await busy.next()
  other.write(line(2))
  other.flushNow()
  assert.equal(busy.written, '')
})

test('a full device is a fault that nothing else feels', async () => {
  // Never closed: it is tried again and again, and another file would get its number.
  const descriptor = openSync('/dev/full', 'w')
  const { to, faults } = destinationOf(fileSink(descriptor), { retryMs: 1 })
  to.write(line(1))
  await until('the fault', () => to.figures().fault === 'ENOSPC')
  assert.equal(await to.flush(20), false)
  to.flushNow()
  assert.deepEqual(faults, ['ENOSPC'])
})

test('on a full disk lines wait until there is room again', needsTmpfs, async () => {
  await withTmpfs(256 * 1024, async (folder) => {
    const ballast = join(folder, 'ballast')
    writeFileSync(ballast, Buffer.alloc(250 * 1024))
    const file = join(folder, 'log')
    const descriptor = openSync(file, 'a')
    try {
      const { to, recoveries } = destinationOf(fileSink(descriptor), {
        ...{ waitingBytesMax: 1 << 20, writeBytesMax: 1024, retryMs: 5 },
      })
      for (let index = 0; index < 5000; index += 1) to.write(line(index))
      await until('the disk is full', () => to.figures().fault === 'ENOSPC')
      rmSync(ballast)
      assert.equal(await to.flush(20_000), true)
      const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1)
      const whole = lines.filter((each) => each.length === 9)
      assert.deepEqual(
        whole,
        Array.from({ length: 5000 }, (_, index) => line(index).trim()),
      )
      assert.deepEqual(recoveries, [[0, 'ENOSPC']])
    } finally {
      closeSync(descriptor)
    }
  })
})
