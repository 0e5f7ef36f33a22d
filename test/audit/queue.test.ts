// Goal: what was taken is written, once and in order, through rotations, pipes that nobody empties and
// the end of the process; what finds no room is refused or counted. Method: a queue over real files.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { chmod, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { genesis } from '../../src/audit/chain.ts'
import { verifyFiles } from '../../src/audit/verify.ts'
import { OciError } from '../../src/oci/error.ts'
import { until } from '../support/until.ts'
import { linesIn, openFolder, openQueue, recordsIn } from './scene.ts'

function isRefused(error: unknown): boolean {
  assert.ok(error instanceof OciError)
  assert.deepEqual([error.code, error.status], ['UNAVAILABLE', 503])
  assert.deepEqual(error.headers, [['Retry-After', '2']])
  return true
}

describe('a file', () => {
  test('it is made for its owner alone, and holds every record in its order', async (t) => {
    const path = join(await openFolder(t), 'audit.jsonl')
    const { queue, add, settled } = await openQueue(path)
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    add(1_000)
    await settled()
    add(1_000, 1_000)
    await queue.close(5_000)
    const records = recordsIn(path)
    assert.deepEqual(
      records.map(({ n }) => n),
      Array.from({ length: 2_000 }, (_, n) => n),
    )
    assert.deepEqual(
      records.map(({ seq }) => seq),
      Array.from({ length: 2_000 }, (_, n) => n + 1),
    )
    const [first] = records
    assert.deepEqual(
      [first?.time, first?.kind, first?.prev],
      ['2026-01-02T00:00:00.000Z', 'login', genesis],
    )
    assert.equal(queue.figures().written, 2_000)
    assert.deepEqual(queue.figures().head, { seq: 2_000, hash: records.at(-1)?.hash })
  })

  test('the next process goes on behind the last record', async (t) => {
    const path = join(await openFolder(t), 'audit.jsonl')
    for (const from of [0, 3]) {
      const { queue, add } = await openQueue(path)
      add(3, from)
      await queue.close(5_000)
    }
    assert.deepEqual(
      recordsIn(path).map(({ seq, n }) => [seq, n]),
      [0, 1, 2, 3, 4, 5].map((n) => [n + 1, n]),
    )
    assert.equal((await verifyFiles([path])).problem, undefined)
  })

  test('without a chain there are no hashes, and it may be a pipe', async (t) => {
    const folder = await openFolder(t)
    const { queue, add } = await openQueue(join(folder, 'plain.jsonl'), { isChained: false })
    add(2)
    await queue.close(5_000)
    const [record] = recordsIn(join(folder, 'plain.jsonl'))
    assert.deepEqual(Object.keys(record ?? {}), ['time', 'seq', 'kind', 'n'])
    assert.deepEqual(queue.figures().head, { seq: 2, hash: null })
    const pipe = join(folder, 'pipe')
    execFileSync('mkfifo', [pipe])
    await assert.rejects(openQueue(pipe, { isChained: false }), { code: 'ENXIO' })
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
    t.after(() => closeSync(reader))
    await assert.rejects(openQueue(pipe), /no regular file/)
  })

  test('a file that is no audit log is left alone', async (t) => {
    const path = join(await openFolder(t), 'notes.txt')
    for (const text of ['keep me', 'keep me\n', '{"a":1}\n', '\n\n', '{"time":"x\n']) {
      await writeFile(path, text)
      await assert.rejects(openQueue(path), /is there, and is no audit log/, text)
    }
    await assert.rejects(openQueue(join(path, 'audit.jsonl')), { code: 'ENOTDIR' })
  })

  test('a record that cannot be put into words takes nothing down, and its place is kept', async (t) => {
    const path = join(await openFolder(t), 'audit.jsonl')
    const { queue, add, faults } = await openQueue(path)
    queue.add('login', () => ({ n: 1n }))
    add(1)
    await queue.close(5_000)
    assert.deepEqual(
      recordsIn(path).map(({ seq, event }) => [seq, event]),
      [
        [1, 'unprintable_record'],
        [2, undefined],
      ],
    )
    assert.equal(faults.length, 1)
  })
})

describe('a rotation', () => {
  for (const [name, isTold] of [
    ['the file that was renamed is found out by itself', false],
    ['the file that was renamed is left when that is told', true],
  ] as const) {
    test(name, async (t) => {
      const folder = await openFolder(t)
      const path = join(folder, 'audit.jsonl')
      let now = 0
      const { queue, add, settled } = await openQueue(path, { elapsed: () => now })
      add(5)
      await settled()
      await rename(path, `${path}.1`)
      add(1, 5)
      // Nobody looks more often than once in a second, unless it is told.
      await settled()
      if (isTold) await queue.reopen()
      else now += 1_000
      add(4, 6)
      await queue.close(5_000)
      assert.equal(recordsIn(`${path}.1`).length, 6)
      assert.equal(recordsIn(path).length, 4)
      const { problem, records } = await verifyFiles([`${path}.1`, path])
      assert.deepEqual([problem, records], [undefined, 10])
    })
  }

  test('where the new file cannot be made, the old one goes on, and that is told once', async (t) => {
    const folder = join(await openFolder(t), 'log')
    await mkdir(folder)
    const path = join(folder, 'audit.jsonl')
    let now = 0
    const { queue, add, settled, faults } = await openQueue(path, { elapsed: () => now })
    await rename(path, `${path}.1`)
    // A folder in its place, since who may everything can write where others cannot.
    await mkdir(path)
    for (let n = 0; n < 3; n += 1) {
      now += 1_000
      add(1, n)
      await settled()
    }
    await queue.reopen()
    assert.deepEqual(faults, ['the audit log cannot be opened again: the old file goes on'])
    assert.equal(recordsIn(`${path}.1`).length, 3)
    await rm(path, { recursive: true })
    now += 1_000
    add(1, 3)
    await queue.close(5_000)
    assert.equal(recordsIn(path).length, 1)
    assert.equal((await verifyFiles([`${path}.1`, path])).problem, undefined)
  })

  test('what somebody else wrote or cut is told in the log', async (t) => {
    const path = join(await openFolder(t), 'audit.jsonl')
    let now = 0
    const { queue, add, settled, faults } = await openQueue(path, { elapsed: () => now })
    add(3)
    await settled()
    const { size } = await stat(path)
    await writeFile(path, '')
    now += 1_000
    add(1, 3)
    await queue.close(5_000)
    assert.deepEqual(faults, ['somebody else changed the audit log'])
    const last = recordsIn(path).at(-1)
    assert.deepEqual(
      [last?.['event'], last?.['expected_bytes'], last?.['found_bytes']],
      ['file_changed', size, 0],
    )
  })
})

describe('a pipe that nobody empties', () => {
  const filler = 'x'.repeat(1_000)

  async function openPipe(t: Parameters<typeof openFolder>[0], onFull: 'refuse' | 'drop') {
    const path = join(await openFolder(t), 'pipe')
    execFileSync('mkfifo', [path])
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    t.after(() => closeSync(reader))
    const scene = await openQueue(path, { isChained: false, queueMax: 200, onFull })
    let text = ''
    const empty = (): void => {
      const bytes = Buffer.alloc(1 << 20)
      try {
        text += bytes.toString('utf8', 0, readSync(reader, bytes))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      }
    }
    const add = (n: number): void => scene.queue.add('login', () => ({ n, filler }))
    const lines = (): readonly Record<string, unknown>[] =>
      text
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line))
    return { ...scene, empty, add, lines }
  }

  test('what finds no place is refused, and taken again when it moves', async (t) => {
    const { queue, faults, empty, add, lines } = await openPipe(t, 'refuse')
    let taken = 0
    const fill = async (): Promise<void> => {
      for (;;) {
        add(taken)
        taken += 1
        await new Promise(setImmediate)
      }
    }
    await assert.rejects(fill(), isRefused)
    assert.throws(() => queue.assertRoom(), isRefused)
    assert.equal(queue.figures().refused, 2)
    await until('a fault that is told', () => faults.length > 0)
    // What has happened already is taken all the same.
    queue.add('admin', () => ({ n: 'forced' }), true)
    await until('an empty queue', () => {
      empty()
      return queue.figures().queued === 0
    })
    queue.assertRoom()
    add(taken)
    await queue.close(5_000)
    empty()
    const numbers = lines().map(({ n }) => n)
    assert.deepEqual(numbers, [...Array.from({ length: taken }, (_, n) => n), 'forced', taken])
    assert.deepEqual(faults.slice(0, 2), [
      'the audit log cannot be written: trying again',
      'the audit log is written again',
    ])
  })

  test('or it is dropped, and how many is told as soon as there is room', async (t) => {
    const { queue, empty, add, lines } = await openPipe(t, 'drop')
    for (let n = 0; n < 1_000; n += 1) {
      add(n)
      if (n % 50 === 0) await new Promise(setImmediate)
    }
    queue.assertRoom()
    const { dropped } = queue.figures()
    assert.ok(dropped > 500, String(dropped))
    await until('an empty queue', () => {
      empty()
      return queue.figures().queued === 0
    })
    await queue.close(5_000)
    empty()
    const told = lines()
    const dropNotes = told.filter(({ event }) => event === 'records_dropped')
    const sum = dropNotes.reduce((before, { dropped: count }) => before + Number(count), 0)
    assert.equal(sum, dropped)
    assert.equal(told.length - dropNotes.length + dropped, 1_000)
  })

  test('the end does not wait for it for ever, and tells what was not written', async (t) => {
    const { queue, lost, add, empty, lines } = await openPipe(t, 'refuse')
    for (let n = 0; n < 200; n += 1) add(n)
    await queue.close(300)
    empty()
    const written = lines().length
    assert.ok(written > 10 && written < 200, String(written))
    const numbers = lost.map((line) => (JSON.parse(line) as { n: number }).n)
    assert.deepEqual(
      numbers,
      Array.from({ length: 200 - written }, (_, index) => written + index),
    )
  })
})

test('the queue holds no more records than it may, also while they wait to be lines', async (t) => {
  const path = join(await openFolder(t), 'audit.jsonl')
  const { queue, add, settled } = await openQueue(path, { queueMax: 16 })
  add(16)
  assert.throws(() => add(1), isRefused)
  await settled()
  add(16)
  await queue.close(5_000)
  assert.equal(linesIn(path).length, 32)
})

test('an existing file keeps its mode', async (t) => {
  const path = join(await openFolder(t), 'audit.jsonl')
  await writeFile(path, '')
  await chmod(path, 0o640)
  const { queue } = await openQueue(path)
  await queue.close(5_000)
  assert.equal((await stat(path)).mode & 0o777, 0o640)
})
