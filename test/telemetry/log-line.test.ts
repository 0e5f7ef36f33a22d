// Goal: whatever is logged comes out as one bounded line that does nothing to its reader. Method: lines
// as the product makes them, of texts that others could have chosen.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createLogOn, type LogPlace } from '../../src/telemetry/log.ts'
import { isJournal } from '../../src/telemetry/log-line.ts'
import type { LogSink } from '../../src/telemetry/log-sink.ts'

/** What is written, at once. */
class MemorySink implements LogSink {
  readonly keepsApart = true
  text = ''

  write(bytes: Uint8Array, done: (error: undefined, written: number) => void): void {
    this.writeNow(bytes)
    done(undefined, bytes.length)
  }

  writeNow(bytes: Uint8Array): void {
    this.text += Buffer.from(bytes).toString()
  }
}

type Fields = Readonly<Record<string, unknown>>

/** What comes out of one call. */
function logged(place: Partial<LogPlace>, fields: Fields, message: string): string {
  const sink = new MemorySink()
  const { log, flushNow } = createLogOn(sink, {
    ...{ level: 'trace', format: 'json', isForJournal: false, onFault: () => {}, ...place },
  })
  log.info(fields, message)
  flushNow()
  return sink.text
}

function parsed(text: string): Fields {
  assert.ok(text.endsWith('\n') && !text.slice(0, -1).includes('\n'), text)
  return JSON.parse(text) as Fields
}

const human = { format: 'human' } as const
const stamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /
// What a terminal or a reader of lines could obey.
const harmful = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

describe('JSON', () => {
  test('a line says when, how grave, what and which process', () => {
    const { time, ...others } = parsed(logged({ process: 3 }, { port: 5000 }, 'serving'))
    assert.match(`${String(time)} `, stamp)
    assert.deepEqual(others, { level: 30, process: 3, port: 5000, msg: 'serving' })
  })

  test('any text comes back as it was, and none of it is harmful on the way', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const line = logged({}, { text }, text)
        assert.ok(!harmful.test(line.slice(0, -1)), line)
        const { text: back, msg } = parsed(line)
        assert.deepEqual([back, msg], [text, text])
      }),
    )
  })
})

describe('lines for people', () => {
  test('a line has a time, a level, a message and its fields', () => {
    const line = logged(human, { file: '/a', many: [1], name: 'a b', odd: 'a=b"' }, 'done')
    assert.equal(line.replace(stamp, ''), 'INFO done file=/a many=[1] name="a b" odd="a=b\\""\n')
  })

  test('no text begins a line of its own or does anything to a terminal', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const line = logged(human, { text }, text)
        assert.ok(!harmful.test(line.slice(0, -1)), line)
        const fault = logged(human, { err: new Error(text) }, 'failed')
        const [, ...more] = fault.slice(0, -1).split('\n')
        for (const each of more) assert.ok(each.startsWith('  ') && !harmful.test(each), each)
      }),
    )
  })

  test('an error brings its stack, its code and its causes', () => {
    const cause = Object.assign(new Error('inner'), { code: 'EX', syscall: 'open' })
    const several = new AggregateError([new Error('first'), new RangeError('second')], 'several')
    const line = logged(human, { err: new Error('outer', { cause }) }, 'failed')
    assert.match(line, /INFO failed\n {2}Error: outer\n {6}at .*\n {2}caused by Error: inner /s)
    assert.match(line, /caused by Error: inner code=EX syscall=open\n {6}at /)
    assert.match(logged(human, { err: several }, 'failed'), /and Error: first\n.*and RangeError: /s)
  })
})

describe('the journal', () => {
  const journal = { isForJournal: true } as const

  test('each line begins with its priority, and those for people have no time', () => {
    const sink = new MemorySink()
    const { log, flushNow } = createLogOn(sink, {
      ...{ level: 'trace', format: 'human', isForJournal: true, onFault: () => {} },
    })
    for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const) {
      log[level]('said')
    }
    flushNow()
    const lines = ['<2>FATAL', '<3>ERROR', '<4>WARN', '<6>INFO', '<7>DEBUG', '<7>TRACE']
    assert.equal(sink.text, lines.map((each) => `${each} said\n`).join(''))
  })

  test('a stack has the priority of its error on each of its lines', () => {
    const text = logged({ ...human, ...journal }, { err: new Error('a\nb') }, 'failed')
    for (const line of text.slice(0, -1).split('\n')) assert.match(line, /^<6>/)
  })

  test('JSON stays JSON behind the priority', () => {
    assert.deepEqual(parsed(logged(journal, {}, 'said').replace(/^<6>/, ''))['msg'], 'said')
  })

  test('it is known by the device and the inode of the stream', () => {
    const stat = { dev: 12n, ino: 18446744073709551615n }
    assert.ok(isJournal('12:18446744073709551615', stat))
    for (const other of [undefined, '', '12:18446744073709551614', '1:8446744073709551615']) {
      assert.ok(!isJournal(other, stat))
    }
  })
})

describe('long lines', () => {
  const long = 'ü'.repeat(1 << 20)
  const loops: unknown[] = []
  loops.push(loops, { loops })
  const deep = Array.from({ length: 500 }, (_, index) => ({ index, text: long.slice(0, 999) }))
  const cases: readonly (readonly [name: string, fields: Fields, message: string])[] = [
    ['a message', {}, long],
    ['a field', { long, short: 'kept' }, 'said'],
    ['an error', { err: new Error(long, { cause: new Error(long) }) }, 'said'],
    ['many fields', Object.fromEntries(deep.entries()), 'said'],
    ['a list', { deep, loops }, 'said'],
    ['control bytes', { text: '\u009b'.repeat(9000) }, '\u200b'.repeat(9000)],
  ]
  for (const [name, fields, message] of cases) {
    test(`${name} of a megabyte is cut, and the line says so`, () => {
      for (const [place, bytesMax] of [
        [{}, 16 * 1024],
        [{ process: 1 }, 4096],
        [{ process: 1, isForJournal: true }, 4096],
      ] as const) {
        const json = logged(place, fields, message)
        assert.ok(Buffer.byteLength(json) <= bytesMax, `${Buffer.byteLength(json)}`)
        const { level, msg, cut, err } = parsed(json.replace(/^<6>/, ''))
        assert.equal(level, 30)
        assert.ok(String(msg).startsWith(message.slice(0, 60)))
        const isError = err !== undefined
        if (!isError) assert.equal(cut, true)
        else assert.match(JSON.stringify(err), /… \(\d+ more\)/)
        const text = logged({ ...place, ...human }, fields, message)
        assert.ok(Buffer.byteLength(text) <= bytesMax, `${Buffer.byteLength(text)}`)
        assert.ok(text.endsWith('\n') && !text.includes('\ufffd'))
      }
    })
  }
})
