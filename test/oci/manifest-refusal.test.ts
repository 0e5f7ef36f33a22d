// Goal: every bad manifest is refused as MANIFEST_INVALID, and the refusal names the field.
// Method: spoil a valid manifest in one place.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OciError } from '../../src/oci/error.ts'
import {
  defaultManifestLimits,
  type ManifestLimits,
  parseManifest,
} from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { describe, describeWithData, type Json, sampleManifest } from './sample-manifests.ts'

function refusal(
  body: Json | string | Uint8Array,
  contentType: string | undefined,
  limits: ManifestLimits = defaultManifestLimits,
): string {
  const text = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  try {
    parseManifest(Buffer.from(text as string), contentType, limits)
  } catch (error) {
    assert.ok(error instanceof OciError, String(error))
    assert.equal(error.code, 'MANIFEST_INVALID')
    assert.equal(error.status, 400)
    const { field, reason } = error.detail as { field?: string; reason: string }
    const words = field === undefined ? reason : `${field} ${reason}`
    assert.equal(error.message, `manifest is not valid: ${words}`)
    return words
  }
  return 'accepted'
}

/** Refusal of a sample with some members replaced. */
function spoilt(name: string, changes: Json, limits?: ManifestLimits): string {
  const body = sampleManifest(name)
  return refusal({ ...body, ...changes }, undefined, limits)
}

test('a body that is no strict JSON object is refused', () => {
  const type = mediaTypes.ociImage
  assert.equal(refusal('', type), 'is not well-formed JSON')
  assert.equal(refusal('{"schemaVersion":2', type), 'is not well-formed JSON')
  assert.equal(refusal(Buffer.from([0x7b, 0xff, 0x7d]), type), 'is not valid UTF-8')
  assert.equal(refusal('[]', type), 'is not an object')
  assert.equal(refusal('null', type), 'is not an object')
  assert.equal(refusal('{"schemaVersion":2,"schemaVersion":2}', type), 'has a duplicate key')
  assert.equal(refusal('{"__proto__":{}}', type), 'has a key __proto__')
  assert.equal(refusal(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`, type), 'is nested too deeply')
})

test('media types that are absent, malformed, unknown or at odds are refused', () => {
  const { mediaType, ...untyped } = sampleManifest('image')
  const typed = { mediaType, ...untyped }
  for (const [body, contentType, expected] of [
    [untyped, undefined, 'mediaType is missing, and so is Content-Type'],
    [untyped, '', 'mediaType is missing, and so is Content-Type'],
    [untyped, 'image', 'Content-Type is not a media type'],
    [typed, 'a/b, c/d', 'Content-Type is not a media type'],
    [typed, mediaTypes.dockerImage, 'mediaType is not the same as the Content-Type'],
    [typed, mediaTypes.ociIndex, 'mediaType is not the same as the Content-Type'],
    [typed, 'application/octet-stream', 'mediaType is not the same as the Content-Type'],
    [typed, mediaTypes.ociImage.toUpperCase(), 'mediaType is not the same as the Content-Type'],
    [{ ...typed, mediaType: 7 }, mediaTypes.ociImage, 'mediaType is not a string'],
    [untyped, mediaTypes.dockerImage, 'mediaType is missing'],
    [untyped, mediaTypes.ociConfig, 'Content-Type is not a supported manifest media type'],
    [{ ...typed, mediaType: 'a/b' }, 'a/b', 'Content-Type is not a supported manifest media type'],
    [{ ...typed, mediaType: 'a/b' }, undefined, 'mediaType is not a supported manifest media type'],
    [{ ...typed, mediaType: 'ab' }, undefined, 'mediaType is not a supported manifest media type'],
  ] as const) {
    assert.equal(refusal(body, contentType), expected)
  }
})

test('Docker schema 1 is refused by its name, its version and its shape', () => {
  const expected = 'is of Docker schema 1, which is not supported'
  const body = { schemaVersion: 1, name: 'a/b', tag: 'c', fsLayers: [], history: [] }
  assert.equal(refusal(body, mediaTypes.dockerSchema1), expected)
  assert.equal(refusal(body, mediaTypes.dockerSchema1Signed), expected)
  assert.equal(refusal(body, mediaTypes.ociImage), expected)
  assert.equal(spoilt('image', { fsLayers: [] }), expected)
})

test('a schema version other than 2 is refused', () => {
  for (const schemaVersion of [undefined, null, 0, 3, '2', [2], 2.5]) {
    for (const name of ['image', 'index', 'docker image', 'docker index']) {
      assert.equal(spoilt(name, { schemaVersion }), 'schemaVersion is not 2')
    }
  }
})

test('a body of two shapes is refused', () => {
  for (const [name, key, value, shape] of [
    ['image', 'manifests', [], 'an image manifest'],
    ['docker image', 'manifests', [describe(mediaTypes.dockerImage, 'x')], 'an image manifest'],
    ['index', 'layers', [], 'an index'],
    ['docker index', 'layers', [describe(mediaTypes.dockerLayer, 'x')], 'an index'],
    ['index', 'config', {}, 'an index'],
    ['artifact manifest', 'config', {}, 'an artifact manifest'],
    ['artifact manifest', 'layers', [], 'an artifact manifest'],
    ['artifact manifest', 'manifests', [], 'an artifact manifest'],
  ] as const) {
    assert.equal(spoilt(name, { [key]: value }), `${key} does not belong in ${shape}`)
  }
})

test('a key that a case-blind reader takes for a known one is refused', () => {
  const expected = 'differs from a known field by case alone'
  for (const key of [
    'Layers',
    'MANIFESTS',
    'MediaType',
    'layer\u017f',
    'f\u017fLayers',
    'Subject',
  ]) {
    assert.equal(spoilt('image', { [key]: [] }), `${key} ${expected}`)
  }
  for (const key of ['Digest', 'SIZE', 'URLs', '\u017fize']) {
    const layers = [describe(mediaTypes.ociLayer, 'x', { [key]: 1 })]
    assert.equal(spoilt('image', { layers }), `layers[0].${key} ${expected}`)
  }
  assert.equal(spoilt('image', { Annotation: 1, configs: 2, 'org.Layers': 3 }), 'accepted')
})

test('members of the wrong type are refused where they stand', () => {
  for (const [name, changes, expected] of [
    ['image', { config: undefined }, 'config is missing'],
    ['image', { config: null }, 'config is missing'],
    ['image', { config: [] }, 'config is not an object'],
    ['image', { config: 'x' }, 'config is not an object'],
    ['image', { layers: {} }, 'layers is not a list'],
    ['image', { layers: 'x' }, 'layers is not a list'],
    ['image', { layers: [null] }, 'layers[0] is not an object'],
    ['index', { manifests: [[]] }, 'manifests[0] is not an object'],
    ['index', { manifests: 1 }, 'manifests is not a list'],
    ['artifact manifest', { blobs: [7] }, 'blobs[0] is not an object'],
    ['image', { subject: 'x' }, 'subject is not an object'],
    ['index', { subject: {} }, 'subject.mediaType is missing'],
    ['image', { artifactType: 1 }, 'artifactType is not a string'],
    ['image', { artifactType: 'x' }, 'artifactType is not a media type'],
    ['image', { annotations: [] }, 'annotations is not an object'],
    ['image', { annotations: { a: 1 } }, 'annotations has a value that is not a string'],
    ['image', { annotations: { a: null } }, 'annotations has a value that is not a string'],
  ] as const) {
    assert.equal(spoilt(name, changes), expected)
  }
})

test('a bad descriptor is refused wherever it stands', () => {
  for (const [changes, expected] of [
    [{ mediaType: undefined }, 'mediaType is missing'],
    [{ mediaType: '' }, 'mediaType is missing'],
    [{ mediaType: 5 }, 'mediaType is not a string'],
    [{ mediaType: 'layer' }, 'mediaType is not a media type'],
    [{ digest: undefined }, 'digest is not a sha256 or sha512 digest'],
    [{ digest: 'sha256:baddigeststring' }, 'digest is not a sha256 or sha512 digest'],
    [{ digest: 5 }, 'digest is not a string'],
    [{ size: undefined }, 'size is not a size in bytes'],
    [{ size: '5' }, 'size is not a size in bytes'],
    [{ size: -1 }, 'size is not a size in bytes'],
    [{ size: 1.5 }, 'size is not a size in bytes'],
    [{ size: 2 ** 53 }, 'size is not a size in bytes'],
    [{ urls: 'https://example.com' }, 'urls is not a list'],
    [{ urls: [1] }, 'urls is not a list of strings'],
    [{ artifactType: 'x' }, 'artifactType is not a media type'],
    [{ annotations: { a: {} } }, 'annotations has a value that is not a string'],
  ] as const) {
    const bad = { ...describe(mediaTypes.ociLayer, 'x'), ...changes }
    const good = describe(mediaTypes.ociLayer, 'y')
    assert.equal(spoilt('image', { config: bad }), `config.${expected}`)
    assert.equal(spoilt('image', { layers: [good, bad] }), `layers[1].${expected}`)
    assert.equal(spoilt('index', { manifests: [bad] }), `manifests[0].${expected}`)
    assert.equal(spoilt('artifact manifest', { blobs: [bad] }), `blobs[0].${expected}`)
    assert.equal(spoilt('image', { subject: bad }), `subject.${expected}`)
  }
})

test('data that is not the content is refused', () => {
  const good = describeWithData('a/b', 'hello')
  for (const [changes, expected] of [
    [{ data: 5 }, 'data is not a string'],
    [{ data: 'aGVsbG8' }, 'data is not base64'],
    [{ data: 'aGVs bG8=' }, 'data is not base64'],
    [{ data: 'aGVsbG9=' }, 'data is not base64'],
    [{ data: '_-8=' }, 'data is not base64'],
    [{ data: 'aGVsbG8h' }, 'data has not the size of the descriptor'],
    [{ size: 6 }, 'data has not the size of the descriptor'],
    [{ data: 'aGVsbG9h', size: 6 }, 'data has not the digest of the descriptor'],
    [{ data: 'SGVsbG8=' }, 'data has not the digest of the descriptor'],
  ] as const) {
    assert.equal(spoilt('image', { layers: [{ ...good, ...changes }] }), `layers[0].${expected}`)
  }
})

test('one digest with two sizes is refused', () => {
  const layer = describe(mediaTypes.ociLayer, 'x')
  const expected = `gives two sizes for ${layer['digest']}`
  assert.equal(spoilt('image', { layers: [layer, { ...layer, size: 7 }] }), expected)
})

test('descriptors and annotations are bounded exactly', () => {
  const limits = {
    ...defaultManifestLimits,
    descriptorsMax: 3,
    annotationsMax: 2,
    annotationLengthMax: 10,
  }
  const layer = describe(mediaTypes.ociLayer, 'x')
  assert.equal(spoilt('image', { layers: [layer, layer] }, limits), 'accepted')
  const tooMany = 'names too many descriptors'
  assert.equal(spoilt('image', { layers: [layer, layer, layer] }, limits), tooMany)
  assert.equal(spoilt('image', { layers: [layer, layer], subject: layer }, limits), tooMany)

  assert.equal(spoilt('image', { annotations: { a: '', b: '' } }, limits), 'accepted')
  assert.equal(
    spoilt('image', { annotations: { a: '', b: '', c: '' } }, limits),
    'annotations has more than 2 entries',
  )
  assert.equal(spoilt('image', { annotations: { a: '123456789' } }, limits), 'accepted')
  const tooLong = 'annotations is too long'
  assert.equal(spoilt('image', { annotations: { a: '1234567890' } }, limits), tooLong)
  const config = { ...layer, annotations: { abcde: '12345' } }
  assert.equal(spoilt('image', { config, annotations: { a: '' } }, limits), tooLong)
})
