// Goal: whatever is done to an audit log behind its server's back shows at the first line that it was
// done to. Method: every kind of change to a chained log, and what crashes leave.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { verifyFiles } from '../../src/audit/verify.ts'
import { linesIn, openFolder, openQueue, recordsIn } from './scene.ts'

type Context = Parameters<typeof openFolder>[0]

const separator = '\u2028'

async function writeLog(path: string, count: number, from = 0): Promise<void> {
  const { queue, add } = await openQueue(path)
  add(count, from)
  // What some readers take for the end of a line.
  queue.add('login', () => ({ user_agent: `a${separator}b\r\n"c",\\` }))
  await queue.close(5_000)
}

async function logOf(t: Context, count: number): Promise<string> {
  const path = join(await openFolder(t), 'audit.jsonl')
  await writeLog(path, count - 1)
  return path
}

test('a hash is that of its line up to it, by any tool', async (t) => {
  const path = await logOf(t, 3)
  const records = recordsIn(path)
  for (const [index, line] of linesIn(path).entries()) {
    const covered = line.replace(/,"hash":"[0-9a-f]{64}"\}$/, '')
    const record = records[index]
    assert.equal(record?.hash, createHash('sha256').update(covered).digest('hex'))
    assert.equal(record?.prev, index === 0 ? '0'.repeat(64) : records[index - 1]?.hash)
  }
})

describe('a log that was left alone', () => {
  test('is sound, and its last hash is told', async (t) => {
    const path = await logOf(t, 50)
    const verified = await verifyFiles([path])
    const hash = recordsIn(path).at(-1)?.hash ?? ''
    assert.deepEqual(verified, {
      ...{ problem: undefined, records: 50, unchained: 0, torn: 0, openBytes: 0 },
      ...{ first: { seq: 1, isGenesis: true }, last: { seq: 50, hash } },
    })
    assert.equal((await verifyFiles([path], hash)).problem, undefined)
  })

  test('is sound from any record on, as when older files are gone', async (t) => {
    const path = await logOf(t, 10)
    await writeFile(path, `${linesIn(path).slice(4).join('\n')}\n`)
    const { problem, first, records } = await verifyFiles([path])
    assert.deepEqual([problem, first, records], [undefined, { seq: 5, isGenesis: false }, 6])
  })

  test('is sound behind what was written before the chain was turned on', async (t) => {
    const path = join(await openFolder(t), 'audit.jsonl')
    const plain = await openQueue(path, { isChained: false })
    plain.add(3)
    await plain.queue.close(5_000)
    await writeLog(path, 2)
    const { problem, records, unchained } = await verifyFiles([path])
    assert.deepEqual([problem, records, unchained], [undefined, 3, 3])
    assert.deepEqual(recordsIn(path)[3]?.seq, 4)
  })
})

describe('what was done to it shows at its line', () => {
  const changes: readonly (readonly [
    name: string,
    change: (lines: string[]) => readonly string[],
    line: number,
    message: RegExp,
  ])[] = [
    [
      'a changed value',
      (lines) => lines.with(4, (lines[4] ?? '').replace('"n":4', '"n":5')),
      5,
      /not that of its content/,
    ],
    [
      'a changed value with the hash that fits it',
      (lines) => {
        const covered = (lines[4] ?? '')
          .replace('"n":4', '"n":5')
          .replace(/,"hash":"[0-9a-f]{64}"\}$/, '')
        const hash = createHash('sha256').update(covered).digest('hex')
        return lines.with(4, `${covered},"hash":"${hash}"}`)
      },
      6,
      /does not follow/,
    ],
    [
      'a second member of the same name',
      (lines) => lines.with(4, (lines[4] ?? '').replace('{', '{"n":9,')),
      5,
      /not that of its content/,
    ],
    ['a removed line', (lines) => lines.toSpliced(4, 1), 5, /does not follow/],
    ['a line that is there twice', (lines) => lines.toSpliced(4, 0, lines[4] ?? ''), 6, /follow/],
    [
      'two lines that changed places',
      (lines) => lines.toSpliced(4, 2, lines[5] ?? '', lines[4] ?? ''),
      5,
      /follow/,
    ],
    [
      'a line without a hash',
      (lines) => lines.toSpliced(4, 0, '{"time":"x","seq":5,"kind":"login"}'),
      5,
      /has no hash/,
    ],
    [
      'a line that lost its hash',
      (lines) => lines.with(4, (lines[4] ?? '').replace(/,"prev".*/, '}')),
      5,
      /has no hash/,
    ],
    [
      'first lines that lost theirs',
      (lines) => lines.map((line, at) => (at < 4 ? line.replace(/,"prev".*/, '}') : line)),
      5,
      /follows a record that is not there/,
    ],
    ['garbage', (lines) => lines.toSpliced(4, 0, 'garbage'), 5, /no record tells of a crash/],
    [
      'a part of a line',
      (lines) => lines.with(4, (lines[4] ?? '').slice(0, 30)),
      6,
      /does not follow/,
    ],
    ['garbage at the end', (lines) => [...lines, 'garbage'], 11, /no record tells of a crash/],
    ['an empty line', (lines) => lines.toSpliced(4, 0, ''), 5, /no record tells of a crash/],
  ]

  for (const [name, change, line, message] of changes) {
    test(name, async (t) => {
      const path = await logOf(t, 10)
      await writeFile(path, `${change([...linesIn(path)]).join('\n')}\n`)
      const { problem } = await verifyFiles([path])
      assert.deepEqual([problem?.file, problem?.line], [path, line], problem?.message)
      assert.match(problem?.message ?? '', message)
    })
  }

  test('a chain that begins anew', async (t) => {
    const path = await logOf(t, 3)
    await writeLog(`${path}.new`, 3)
    const { problem } = await verifyFiles([path, `${path}.new`])
    assert.deepEqual([problem?.file, problem?.line], [`${path}.new`, 1])
    assert.match(problem?.message ?? '', /a new chain begins/)
  })

  test('files in the wrong order, or with one missing', async (t) => {
    const path = await logOf(t, 9)
    const lines = linesIn(path)
    const parts = [0, 3, 6].map((from) => `${lines.slice(from, from + 3).join('\n')}\n`)
    const files = parts.map((_, index) => `${path}.${index}`)
    for (const [index, part] of parts.entries()) await writeFile(files[index] ?? '', part)
    const [a = '', b = '', c = ''] = files
    assert.equal((await verifyFiles([a, b, c])).problem, undefined)
    assert.equal((await verifyFiles([a, c])).problem?.file, c)
    assert.equal((await verifyFiles([b, a])).problem?.file, a)
  })

  test('an end that was cut off shows by a hash that was kept', async (t) => {
    const path = await logOf(t, 10)
    const head = recordsIn(path).at(-1)?.hash
    await writeFile(path, `${linesIn(path).slice(0, 8).join('\n')}\n`)
    assert.equal((await verifyFiles([path])).problem, undefined)
    assert.match((await verifyFiles([path], head)).problem?.message ?? '', /the end was cut off/)
  })

  test('a log without a chain is not called sound', async (t) => {
    const path = join(await openFolder(t), 'audit.jsonl')
    await writeFile(path, '{"time":"x","seq":1,"kind":"login"}\n')
    assert.match((await verifyFiles([path])).problem?.message ?? '', /no record is chained/)
    await writeFile(path, '')
    assert.match((await verifyFiles([path])).problem?.message ?? '', /no record is chained/)
  })
})

describe('what a crash tore', () => {
  const ends: readonly (readonly [name: string, tear: (path: string) => Promise<void>])[] = [
    ['the last line', async (path) => truncate(path, (await readFile(path)).length - 20)],
    ['zeros in the place of lines', (path) => appendFile(path, Buffer.alloc(5_000))],
    ['a hole longer than any record', (path) => appendFile(path, Buffer.alloc(9_000_000))],
    ['half lines that end in newlines', (path) => appendFile(path, '{"time":"2\n\0\0\0\n')],
    ['half of a character', (path) => appendFile(path, Buffer.of(0x22, 0xc3))],
  ]

  for (const [name, tear] of ends) {
    test(`${name}: it stays, is told of, and the chain goes on`, async (t) => {
      const path = await logOf(t, 10)
      await tear(path)
      const left = await readFile(path)
      await writeLog(path, 3, 10)
      const found = await readFile(path)
      assert.ok(found.subarray(0, left.length).equals(left))
      const { problem, torn, records } = await verifyFiles([path])
      assert.deepEqual([problem, torn], [undefined, 1])
      assert.ok(records >= 14, String(records))
    })
  }

  test('a last line that lost its newline alone is a record', async (t) => {
    const path = await logOf(t, 10)
    await truncate(path, (await readFile(path)).length - 1)
    await writeLog(path, 3, 10)
    const { problem, torn, records } = await verifyFiles([path])
    assert.deepEqual([problem, torn, records], [undefined, 0, 14])
  })

  test('the very first line', async (t) => {
    const path = join(await openFolder(t), 'audit.jsonl')
    await writeFile(path, '{"time":"2026-01-02T00:0')
    await writeLog(path, 3)
    const { problem, torn, records } = await verifyFiles([path])
    assert.deepEqual([problem, torn, records], [undefined, 1, 5])
  })

  test('the end of a file that is read before it is told of is no problem yet', async (t) => {
    const path = await logOf(t, 10)
    await truncate(path, (await readFile(path)).length - 20)
    const { problem, openBytes, records } = await verifyFiles([path])
    assert.equal(problem, undefined)
    assert.equal(records, 9)
    assert.ok(openBytes > 100)
  })

  test('what is changed in it afterwards shows', async (t) => {
    const path = await logOf(t, 10)
    await truncate(path, (await readFile(path)).length - 20)
    await writeLog(path, 3, 10)
    const lines = [...linesIn(path)]
    await writeFile(
      path,
      `${lines.with(9, (lines[9] ?? '').replace('"seq"', '"sec"')).join('\n')}\n`,
    )
    assert.equal((await verifyFiles([path])).problem?.line, 10)
  })
})
