// Goal: for any text, the parsers of names, tags, digests, upload ids, media types and ranges agree with the
// spec's own expressions or a naive model, print what they parsed, never throw, and take linear time.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  digestAlgorithm,
  digestFromHex,
  digestHex,
  digestOfBytes,
  parseDigest,
} from '../../src/oci/digest.ts'
import { linkNext } from '../../src/oci/link.ts'
import { parseMediaType } from '../../src/oci/media-type.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { parseReference } from '../../src/oci/reference.ts'
import { parseTag } from '../../src/oci/tag.ts'
import { newUploadId, parseUploadId } from '../../src/oci/upload-id.ts'

// distribution-spec "Pulling manifests", word for word.
const specName = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const specTag = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const specDigest = /^[A-Za-z0-9]+(?:[+._-][A-Za-z0-9]+)*:[0-9a-zA-Z=_-]+$/

const nearName = fc.string({ unit: fc.constantFrom(...'ab9._-/A%\\ \u0000é'), maxLength: 40 })
const component = fc
  .tuple(
    fc.stringMatching(/^[a-z0-9]{1,6}$/),
    fc.array(
      fc.tuple(fc.constantFrom('.', '_', '__', '-', '---'), fc.stringMatching(/^[a-z0-9]{1,6}$/)),
      {
        maxLength: 3,
      },
    ),
  )
  .map(([head, tail]) => head + tail.flat().join(''))
const name = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))

test('a repository name is what the expression of the spec matches', () => {
  fc.assert(
    fc.property(fc.oneof(nearName, name, fc.string()), (text) => {
      assert.equal(parseRepositoryName(text), specName.test(text) ? text : undefined)
    }),
  )
  fc.assert(fc.property(name, (text) => assert.equal(parseRepositoryName(text), text)))
})

test('a tag is what the expression of the spec matches', () => {
  fc.assert(
    fc.property(fc.oneof(nearName, fc.stringMatching(specTag), fc.string()), (text) => {
      assert.equal(parseTag(text), specTag.test(text) ? text : undefined)
    }),
  )
})

test('a digest of any bytes parses back into its parts', () => {
  const algorithm = fc.constantFrom('sha256', 'sha512')
  fc.assert(
    fc.property(algorithm, fc.uint8Array(), (name, bytes) => {
      const digest = digestOfBytes(name, bytes)
      assert.equal(parseDigest(digest), digest)
      assert.equal(digestAlgorithm(digest), name)
      assert.equal(digestFromHex(name, digestHex(digest)), digest)
    }),
  )
})

test('a digest with any one character changed for one out of its alphabet is none', () => {
  const good = digestOfBytes('sha256', Buffer.from('x'))
  const stranger = fc.string({ minLength: 1, maxLength: 1 }).filter((c) => !/^[0-9a-f]$/.test(c))
  fc.assert(
    fc.property(fc.nat(good.length - 1), stranger, (at, c) => {
      fc.pre(good.charAt(at) !== c)
      assert.equal(parseDigest(good.slice(0, at) + c + good.slice(at + 1)), undefined)
    }),
  )
})

test('no text is both a tag and a digest, and a reference says which', () => {
  const digest = fc.uint8Array().map((bytes) => digestOfBytes('sha512', bytes) as string)
  const text = fc.oneof(digest, nearName, fc.stringMatching(specTag), fc.stringMatching(specDigest))
  fc.assert(
    fc.property(text, (text) => {
      const reference = parseReference(text)
      assert.ok(parseTag(text) === undefined || parseDigest(text) === undefined)
      if (reference?.kind === 'tag') assert.equal(reference.tag, parseTag(text))
      else assert.equal(reference?.digest, parseDigest(text))
    }),
  )
})

test('every random UUID is an upload id, and a changed one is only if it still is one', () => {
  fc.assert(
    fc.property(fc.nat(35), fc.string({ minLength: 1, maxLength: 1 }), (at, c) => {
      const id = newUploadId(randomUUID)
      const changed = id.slice(0, at) + c + id.slice(at + 1)
      const isUuid = /^[0-9a-f-]{36}$/.test(changed) && changed.replace(/[^-]/g, '') === '----'
      if (parseUploadId(changed) !== undefined) assert.ok(isUuid, changed)
      assert.equal(parseUploadId(id), id)
    }),
  )
})

test('a media type survives any parameters', () => {
  const part = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,20}$/)
  fc.assert(
    fc.property(part, part, fc.string({ maxLength: 50 }), (type, subtype, parameters) => {
      const text = `${type}/${subtype}`
      assert.equal(parseMediaType(text), text)
      assert.equal(parseMediaType(`${text} ;${parameters}`), text)
    }),
  )
  fc.assert(
    fc.property(fc.string(), (text) => {
      const parsed = parseMediaType(text)
      if (parsed !== undefined) assert.equal(parseMediaType(parsed), parsed)
    }),
  )
})

test('a link gives back its parameters', () => {
  const params = fc.dictionary(fc.string(), fc.string({ unit: 'grapheme' }))
  fc.assert(
    fc.property(params, (params) => {
      const target = /^<(\/v2\/[^<>\s]*)>; rel="next"$/.exec(linkNext('/v2/_catalog', params))
      assert.ok(target?.[1] !== undefined)
      const { searchParams } = new URL(target[1], 'http://registry')
      assert.deepEqual(new Map(searchParams), new Map(Object.entries(params)))
    }),
  )
})

test('hostile names, tags and digests are answered at once', () => {
  const long = (piece: string, length: number) =>
    piece.repeat(Math.ceil(length / piece.length)).slice(0, length)
  const parsers = [parseRepositoryName, parseTag, parseDigest, parseUploadId, parseMediaType]
  for (const piece of [
    'a',
    '-',
    '_',
    '.',
    '/',
    'a-',
    'a--',
    'a_',
    'a__',
    'a.',
    'a/',
    '0:',
    '\u0000',
  ]) {
    for (const end of ['', '!', '/', '-', 'A']) {
      for (const length of [127, 128, 255, 1_000_000]) {
        const text = long(piece, length - end.length) + end
        const start = process.hrtime.bigint()
        for (const parse of parsers) parse(text)
        const milliseconds = Number(process.hrtime.bigint() - start) / 1e6
        // A parser that backtracked would take years; the slack is for a busy machine.
        assert.ok(
          milliseconds < 500,
          `${JSON.stringify(text.slice(0, 20))}… took ${milliseconds} ms`,
        )
      }
    }
  }
})
