// Goal: the line about a job fits, estimates soberly, and never shows what is no number. Method: a clock that
// is moved by hand, and random progress.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ProgressLine } from '../../src/cli/progress-line.ts'
import { roughDuration, roughSize } from '../../src/telemetry/rough-units.ts'

function line(): {
  readonly at: (seconds: number, progress: object, width?: number) => string
} {
  let now = 0
  const shown = new ProgressLine(() => now)
  return {
    at: (seconds, progress, width = 200) => {
      now = seconds * 1000
      return shown.render('scrub', progress, width)
    },
  }
}

describe('the line', () => {
  test('tells phase, share, rates and what is left', () => {
    const { at } = line()
    const progress = (done: number): object => ({
      ...{ phase: 'hashing blobs', done, total: 100 },
      ...{ bytes: done * 1024 ** 2, bytesTotal: 100 * 1024 ** 2 },
    })
    assert.equal(at(0, progress(0)), 'scrub: hashing blobs  0 %  0/100  0 B of 100 MiB')
    assert.equal(
      at(10, progress(50)),
      'scrub: hashing blobs  50 %  50/100  10 s left  50.0 MiB of 100 MiB  5.0 MiB/s  5.0/s',
    )
  })

  test('without totals tells no share and no end', () => {
    const { at } = line()
    at(0, { phase: 'listing', done: 0 })
    assert.equal(at(4, { phase: 'listing', done: 100 }), 'scrub: listing  100  25/s')
  })

  test('estimates by bytes where they are known, since items differ in size', () => {
    const { at } = line()
    at(0, { phase: 'a', done: 0, total: 2, bytes: 0, bytesTotal: 1_000 })
    const shown = at(10, { phase: 'a', done: 1, total: 2, bytes: 100, bytesTotal: 1_000 })
    assert.match(shown, /^scrub: a {2}10 % {2}1\/2 {2}1 min 30 s left/)
  })

  test('estimates by the last half minute, and not at once', () => {
    const { at } = line()
    at(0, { phase: 'a', done: 0, total: 1_000 })
    assert.doesNotMatch(at(1, { phase: 'a', done: 1, total: 1_000 }), /left|\/s/)
    for (let second = 2; second <= 100; second += 1) {
      at(second, { phase: 'a', done: Math.min(second, 70), total: 1_000 })
    }
    // It has stood still: nobody knows.
    assert.doesNotMatch(at(101, { phase: 'a', done: 70, total: 1_000 }), /left/)
  })

  test('begins anew with another phase, and where the figures go back', () => {
    const { at } = line()
    at(0, { phase: 'a', done: 0, total: 100 })
    assert.match(at(10, { phase: 'a', done: 90, total: 100 }), /left/)
    assert.doesNotMatch(at(11, { phase: 'b', done: 1, total: 100 }), /left/)
    at(20, { phase: 'b', done: 50, total: 100 })
    assert.doesNotMatch(at(21, { phase: 'b', done: 10, total: 100 }), /left/)
  })

  test('more than there is to do is all of it', () => {
    const { at } = line()
    at(0, { phase: 'a', done: 0, total: 10 })
    const shown = at(10, { phase: 'a', done: 15, total: 10 })
    assert.match(shown, /100 % {2}15\/10/)
    assert.doesNotMatch(shown, /left/)
  })

  test('is cut where the terminal ends, also in the middle of wide text, and has no control characters', () => {
    const { at } = line()
    assert.equal(at(0, { phase: 'very long phase', done: 1 }, 12), 'scrub: very ')
    assert.equal(at(0, { phase: 'x', done: 1 }, 0), '')
    assert.equal(at(0, { phase: 'a\u001b[2J\nb', done: 1 }), 'scrub: a [2J b  1')
  })

  test('shows numbers whatever it is told', () => {
    const odd = fc.anything()
    const phase = fc.constantFrom('a', 'b', 5, undefined)
    const strange = fc.record({ phase, done: odd, total: odd, bytes: odd, bytesTotal: odd })
    const count = fc.integer()
    const counts = fc.record({
      ...{ phase, done: count, total: count, bytes: count, bytesTotal: count },
    })
    for (const one of [strange, counts]) {
      fc.assert(
        fc.property(fc.array(one, { maxLength: 6 }), fc.nat(120), (all, width) => {
          const { at } = line()
          for (const [index, each] of all.entries()) {
            const shown = at(index * 3, each, width)
            assert.ok(shown.length <= width * 2)
            assert.doesNotMatch(shown.replace(/: .*? {2}/, ''), /NaN|Infinity|undefined|-\d/)
          }
        }),
        { numRuns: 200 },
      )
    }
  })
})

test('sizes and times are rounded, and change their unit in time', () => {
  const sizes = [0, 1, 1023, 1024, 1536, 102_348, 102_400, 1_048_575, 1024 ** 3, 5e15, 1e18]
  assert.deepEqual(sizes.map(roughSize), [
    ...['0 B', '1 B', '1023 B', '1.0 KiB', '1.5 KiB', '99.9 KiB', '100 KiB', '1.0 MiB', '1.0 GiB'],
    ...['4.4 PiB', '888 PiB'],
  ])
  const times = [0, 499, 59_499, 59_500, 3_599_499, 3_600_000, 172_799_000, 172_800_000]
  assert.deepEqual(times.map(roughDuration), [
    ...['0 s', '0 s', '59 s', '1 min 00 s', '59 min 59 s', '1 h 00 min', '47 h 59 min', '2 d 0 h'],
  ])
})
