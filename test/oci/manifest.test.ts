// Goal: what the registry reads of a good manifest. Refusals are in manifest-refusal.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOfBytes } from '../../src/oci/digest.ts'
import {
  defaultManifestLimits,
  type Manifest,
  parseManifest,
  referrerDescriptor,
} from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { describe, describeWithData, type Json, sampleManifest } from './sample-manifests.ts'

function parse(body: Json, contentType?: string): Manifest {
  const bytes = Buffer.from(JSON.stringify(body))
  return parseManifest(bytes, contentType, defaultManifestLimits)
}

const sizes = (descriptors: readonly { size: number }[]) => descriptors.map(({ size }) => size)

test('an image names its config and its layers', () => {
  const body = sampleManifest('image')
  assert.deepEqual(parse(body), {
    mediaType: mediaTypes.ociImage,
    kind: 'image',
    artifactType: mediaTypes.ociConfig,
    blobs: [describe(mediaTypes.ociConfig, 'config'), describe(mediaTypes.ociLayerGzip, 'layer')],
    foreign: [],
    children: [],
    layerMediaTypes: [mediaTypes.ociLayerGzip],
  })
})

test('an index names its manifests, nested indexes among them', () => {
  assert.deepEqual(parse(sampleManifest('index')), {
    mediaType: mediaTypes.ociIndex,
    kind: 'index',
    blobs: [],
    foreign: [],
    children: [
      describe(mediaTypes.ociImage, 'child', { annotations: { 'org.example.a': 'b' } }),
      describe(mediaTypes.ociIndex, 'nested'),
    ],
    layerMediaTypes: [],
  })
})

test('what an index names that is no manifest is a blob, as build caches have it', () => {
  const manifest = parse(sampleManifest('build cache'))
  assert.deepEqual(manifest.children, [])
  assert.deepEqual(sizes(manifest.blobs), [5, 5])
})

test('each kind is taken with its Content-Type, with parameters, and without', () => {
  for (const [name, kind] of [
    ['image', 'image'],
    ['docker image', 'image'],
    ['artifact manifest', 'image'],
    ['index', 'index'],
    ['docker index', 'index'],
  ] as const) {
    const body = sampleManifest(name)
    const mediaType = String(body['mediaType'])
    for (const contentType of [mediaType, `${mediaType}; charset=utf-8`, '', undefined]) {
      const manifest = parse(body, contentType)
      assert.equal(manifest.mediaType, mediaType)
      assert.equal(manifest.kind, kind)
    }
  }
})

test('an OCI body without a media type has that of the Content-Type', () => {
  const body = sampleManifest('image without a media type')
  assert.equal(parse(body, mediaTypes.ociImage).mediaType, mediaTypes.ociImage)
  assert.equal(parse({ ...body, mediaType: '' }, mediaTypes.ociImage).kind, 'image')
})

test('the artifact type is its own, else that of the config, and none for an index', () => {
  const image = sampleManifest('image')
  assert.equal(parse({ ...image, artifactType: 'a/b' }).artifactType, 'a/b')
  assert.equal(parse({ ...image, artifactType: '' }).artifactType, mediaTypes.ociConfig)
  assert.equal(parse(sampleManifest('index')).artifactType, undefined)
  assert.equal(parse({ ...sampleManifest('index'), artifactType: 'a/b' }).artifactType, 'a/b')
  assert.equal(
    parse(sampleManifest('artifact manifest')).artifactType,
    'application/vnd.example.sbom.v1',
  )
})

test('a subject is read from every kind', () => {
  for (const name of ['artifact', 'index with a subject', 'artifact manifest']) {
    const { subject } = parse(sampleManifest(name))
    assert.deepEqual(subject, describe(mediaTypes.ociImage, 'subject'), name)
  }
  assert.equal(parse(sampleManifest('image')).subject, undefined)
})

test('layers that need not be pushed stand apart', () => {
  const elsewhere = { urls: ['https://example.com/blob'] }
  const manifest = parse({
    ...sampleManifest('docker image'),
    layers: [
      describe(mediaTypes.dockerForeignLayerGzip, '1', elsewhere),
      describe(mediaTypes.ociForeignLayer, '22'),
      describe('application/vnd.example', '333', elsewhere),
      describe('application/vnd.example', '4444', { urls: [] }),
      // An ordinary layer must be here, whatever URLs it names.
      describe(mediaTypes.dockerLayerGzip, '55555', elsewhere),
    ],
  })
  assert.deepEqual(sizes(manifest.foreign), [1, 2, 3])
  assert.deepEqual(sizes(manifest.blobs), [6, 4, 5])
})

test('a config must be in the registry whatever type it has', () => {
  const config = describe(mediaTypes.ociForeignLayer, 'config', { urls: ['https://example.com'] })
  const manifest = parse({ ...sampleManifest('image'), config, layers: [] })
  assert.deepEqual(sizes(manifest.blobs), [6])
  assert.deepEqual(manifest.foreign, [])
})

test('content named twice is listed once', () => {
  const layer = describe(mediaTypes.ociLayer, 'layer')
  const foreign = describe(mediaTypes.ociForeignLayer, 'foreign')
  const sameAsLayer = describe(mediaTypes.ociForeignLayer, 'layer')
  const image = parse({
    ...sampleManifest('image'),
    layers: [layer, foreign, layer, sameAsLayer, foreign],
  })
  assert.deepEqual(sizes(image.blobs), [6, 5])
  assert.deepEqual(sizes(image.foreign), [7])
  const child = describe(mediaTypes.ociImage, 'child')
  const index = parse({ ...sampleManifest('index'), manifests: [child, child] })
  assert.deepEqual(sizes(index.children), [5])
})

test('lists that Go wrote as null, or left out, are empty', () => {
  const image = sampleManifest('image')
  for (const layers of [null, undefined, []]) {
    assert.equal(parse({ ...image, layers }).blobs.length, 1)
  }
  const index = sampleManifest('index')
  for (const manifests of [null, undefined, []]) {
    assert.equal(parse({ ...index, manifests }).children.length, 0)
  }
  const nulls = { subject: null, annotations: null, artifactType: null, manifests: null }
  assert.equal(parse({ ...image, ...nulls }).blobs.length, 2)
})

test('data is taken when it is the content, with either digest', () => {
  const empty = describeWithData(mediaTypes.ociEmpty, '{}')
  const sha512 = { ...empty, digest: digestOfBytes('sha512', Buffer.from('{}')) }
  const nothing = describe('a/b', '', { data: '' })
  const image = { ...sampleManifest('image'), config: empty, layers: [sha512, nothing] }
  assert.deepEqual(sizes(parse(image).blobs), [2, 2, 0])
})

test('a manifest of almost 4 MiB of annotations is taken', () => {
  const annotations = Object.fromEntries(
    Array.from({ length: 390 }, (_, i) => [`org.example.${i}`, 'x'.repeat(10_000)]),
  )
  const manifest = parse({ ...sampleManifest('image'), annotations })
  assert.equal(Object.keys(manifest.annotations ?? {}).length, 390)
})

test('a manifest of ten thousand descriptors, with all their fields, is taken', () => {
  const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' }
  const more = { platform, annotations: { a: '1', b: '2', c: '3', d: '4' }, artifactType: 'a/b' }
  const manifests = Array.from({ length: 10_000 }, (_, i) =>
    describe(mediaTypes.ociImage, String(i), more),
  )
  assert.equal(parse({ ...sampleManifest('index'), manifests }).children.length, 10_000)
})

test('referrers show type, size, artifact type and annotations', () => {
  const digest = digestOfBytes('sha256', Buffer.from('manifest'))
  const body = { ...sampleManifest('artifact'), annotations: { a: 'b' } }
  assert.deepEqual(referrerDescriptor(parse(body), digest, 123), {
    mediaType: mediaTypes.ociImage,
    digest,
    size: 123,
    artifactType: 'application/vnd.example.sbom.v1',
    annotations: { a: 'b' },
  })
  assert.deepEqual(referrerDescriptor(parse(sampleManifest('index')), digest, 1), {
    mediaType: mediaTypes.ociIndex,
    digest,
    size: 1,
  })
})
