// Goal: JSON that two readers could take in two ways is refused; the rest comes out as JSON.parse has it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseStrictJson, type StrictJsonLimits } from '../../src/oci/strict-json.ts'

const limits: StrictJsonLimits = { depthMax: 4, keysMax: 20, valuesMax: 100 }

function parse(text: string): unknown {
  const json = parseStrictJson(Buffer.from(text), limits)
  assert.ok(json.ok, `${text}: ${json.ok ? '' : json.reason}`)
  return json.value
}

function reason(bytes: Uint8Array | string): string {
  const json = parseStrictJson(typeof bytes === 'string' ? Buffer.from(bytes) : bytes, limits)
  return json.ok ? 'accepted' : json.reason
}

test('well-formed JSON comes out as JSON.parse has it', () => {
  for (const text of [
    '{}',
    '[]',
    '1',
    '"a"',
    'null',
    ' \n\t{ "a" : [ 1 , { "b" : "c" } ] , "d" : -1.5e3 } \r\n',
    '{"a":{"a":{"a":{}}}}',
    '{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}',
    '{"":1," ":2}',
    '{"a\\"b":1,"a\\\\":2,"\\\\\\"":3}',
    '["{","}","[","]",",","\\"","a\\"{\\"b"]',
    '{"é":"€😀","\\ud83d\\ude00":1}',
    '{"a":"\\u0000"}',
    '{"constructor":1,"toString":2,"__proto":3,"proto__":4}',
    '{"\\b\\f\\n\\r\\t\\/":1,"b":2,"f":3,"n":4,"r":5,"t":6,"/":7}',
  ]) {
    assert.deepEqual(parse(text), JSON.parse(text), text)
  }
})

test('a view into a larger buffer is read within its bounds', () => {
  const bytes = Buffer.from('x{"a":1}x')
  assert.deepEqual(parseStrictJson(bytes.subarray(1, 8), limits), { ok: true, value: { a: 1 } })
  const plain = new Uint8Array(bytes).subarray(1, 8)
  assert.deepEqual(parseStrictJson(plain, limits), { ok: true, value: { a: 1 } })
})

test('duplicate keys are refused however they are spelt', () => {
  for (const text of [
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '{"\\u0061":1,"a":2}',
    '{"a":{"b":1,"b":2}}',
    '[{"c":[],"d":{},"c":1}]',
    '{"a":{"x":1},"b":2,"a":{"x":1}}',
    '{"é":1,"\\u00e9":2}',
    '{"/":1,"\\/":2}',
    '{"\\n":1,"\\u000a":2}',
    '{"\\"":1,"\\u0022":2}',
    '{"\\\\":1,"\\u005C":2}',
    `{${Array.from({ length: 19 }, (_, i) => `"k${i}":0`).join()},"k3":1}`,
    `{${Array.from({ length: 19 }, (_, i) => `"k${i}":0`).join()},"k18":1}`,
  ]) {
    assert.equal(reason(text), 'has a duplicate key', text)
  }
})

test('a key __proto__ is refused however it is spelt', () => {
  for (const text of [
    '{"__proto__":{}}',
    '{"a":{"__proto__":1}}',
    '{"\\u005f\\u005fproto__":1}',
    '{"__\\u0070roto__":1}',
    '{"\\u005F_proto_\\u005f":1}',
    '[{"a":1,"__proto__":1}]',
  ]) {
    assert.equal(reason(text), 'has a key __proto__', text)
  }
  assert.deepEqual(parse('{"a":"__proto__"}'), { a: '__proto__' })
})

test('bytes that are not plain UTF-8 are refused', () => {
  assert.equal(reason(Buffer.from([0x22, 0xff, 0x22])), 'is not valid UTF-8')
  // An overlong slash, a lone surrogate and a cut-off sequence.
  assert.equal(reason(Buffer.from([0x22, 0xc0, 0xaf, 0x22])), 'is not valid UTF-8')
  assert.equal(reason(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), 'is not valid UTF-8')
  assert.equal(reason(Buffer.from([0x22, 0xe2, 0x82])), 'is not valid UTF-8')
  assert.equal(reason('\ufeff{}'), 'starts with a byte order mark')
  assert.equal(reason(Buffer.from('{}', 'utf16le')), 'is not well-formed JSON')
})

test('depth, keys and values are bounded exactly', () => {
  assert.deepEqual(parse('[[[[]]]]'), [[[[]]]])
  assert.equal(reason('[[[[[]]]]]'), 'is nested too deeply')
  assert.equal(reason('{"a":{"a":{"a":{"a":{}}}}}'), 'is nested too deeply')
  assert.equal(reason('['.repeat(100_000)), 'is nested too deeply')
  const keys = (count: number) => Array.from({ length: count }, (_, i) => `"k${i}":0`).join()
  assert.equal(reason(`{${keys(20)}}`), 'accepted')
  assert.equal(reason(`{${keys(21)}}`), 'has an object with too many keys')
  assert.equal(reason(`[${'1,'.repeat(99)}1]`), 'accepted')
  assert.equal(reason(`[${'1,'.repeat(100)}1]`), 'has too many values')
  assert.equal(reason(`[${'[],'.repeat(50)}[]]`), 'has too many values')
})

test('malformed text is refused', () => {
  for (const text of [
    '',
    ' ',
    '{',
    '}',
    '[}',
    '{]',
    '{}{}',
    '{} x',
    '{"a":1}}',
    '[1,]',
    '{"a":1,}',
    '{,}',
    '{"a"}',
    '{a:1}',
    "{'a':1}",
    '{"a":01}',
    '{"a":NaN}',
    '"',
    '"\\',
    '{"a',
    '{"a\\',
    '{"\\x":1}',
    '{"\\u12":1}',
    '{"\\uzzzz":1}',
    '"a\nb"',
    '{"a":"\\q"}',
    '// c\n{}',
    'undefined',
  ]) {
    assert.equal(reason(text), 'is not well-formed JSON', text)
  }
})

test('four mebibytes of hostile text are answered in linear time', () => {
  const size = 4 * 1024 * 1024
  for (const piece of ['"', '\\', '"\\', '"\\\\', '\\"', '["\\\\\\"', ',', '{"', '{"a":']) {
    const bytes = Buffer.from(piece.repeat(size / piece.length))
    const quarter = bytes.subarray(0, bytes.length / 4)
    const seconds = (of: Uint8Array) => {
      const start = process.hrtime.bigint()
      assert.equal(parseStrictJson(of, { depthMax: 32 }).ok, false, piece)
      return Number(process.hrtime.bigint() - start) / 1e9
    }
    // Quadratic time would take minutes here, and 16 times as long as a quarter does.
    seconds(quarter)
    assert.ok(seconds(bytes) < 2, piece)
  }
})
