// Goal: durations and sizes mean what they say. Method: tables of examples, then properties.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatDuration, formatSize, parseDuration, parseSize } from '../../src/config/units.ts'

test('durations are read in milliseconds, plain numbers as seconds', () => {
  const cases: readonly (readonly [unknown, number | undefined])[] = [
    ['100ms', 100],
    ['30s', 30_000],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['0s', 0],
    [30, 30_000],
    [0.5, 500],
    ['30', undefined],
    ['-1s', undefined],
    ['1.5s', undefined],
    ['1 s', 1000],
    ['1  s', undefined],
    ['1h30m', undefined],
    ['1S', undefined],
    ['', undefined],
    [-1, undefined],
    [Number.NaN, undefined],
    ['9999999999999999d', undefined],
    [true, undefined],
  ]
  for (const [written, ms] of cases) assert.equal(parseDuration(written), ms, String(written))
})

test('sizes are read in bytes: decimal units by 1000, binary units by 1024', () => {
  const cases: readonly (readonly [unknown, number | undefined])[] = [
    ['5MiB', 5_242_880],
    ['64KiB', 65_536],
    ['10GB', 10_000_000_000],
    ['100GiB', 107_374_182_400],
    ['1TB', 1e12],
    ['7B', 7],
    [4096, 4096],
    [0.5, undefined],
    ['5M', undefined],
    ['5mib', undefined],
    ['MiB', undefined],
    ['99999999999999TiB', undefined],
    [null, undefined],
  ]
  for (const [written, bytes] of cases) assert.equal(parseSize(written), bytes, String(written))
})

test('what is formatted reads back as the same number', () => {
  const number = fc.nat({ max: Number.MAX_SAFE_INTEGER })
  fc.assert(fc.property(number, (value) => parseSize(formatSize(value)) === value))
  fc.assert(fc.property(number, (value) => parseDuration(formatDuration(value)) === value))
  assert.deepEqual([formatSize(67_108_864), formatSize(5000)], ['64MiB', '5KB'])
  assert.deepEqual([formatDuration(86_400_000), formatDuration(90_000)], ['1d', '90s'])
})
