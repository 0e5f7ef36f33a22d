// Valid manifests of every kind, for tests to check and to spoil.

import { digestOfBytes } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'

/** JSON that a test may change. */
export type Json = Record<string, unknown>

/** A descriptor of content that differs by `name`. */
export function describe(mediaType: string, name: string, more: Json = {}): Json {
  const bytes = Buffer.from(name)
  return { mediaType, digest: digestOfBytes('sha256', bytes), size: bytes.length, ...more }
}

/** A descriptor with the content in its `data`. */
export function describeWithData(mediaType: string, content: string): Json {
  return describe(mediaType, content, { data: Buffer.from(content).toString('base64') })
}

/** A fresh manifest of each kind, by a name that tells which. */
export function sampleManifests(): Record<string, Json> {
  const layer = describe(mediaTypes.ociLayerGzip, 'layer')
  const config = describe(mediaTypes.ociConfig, 'config')
  const image = { schemaVersion: 2, mediaType: mediaTypes.ociImage, config, layers: [layer] }
  const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' }
  const subject = describe(mediaTypes.ociImage, 'subject')
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [
      describe(mediaTypes.ociImage, 'child', { platform, annotations: { 'org.example.a': 'b' } }),
      describe(mediaTypes.ociIndex, 'nested'),
    ],
  }
  return {
    image,
    'image without a media type': { ...image, mediaType: undefined },
    'image without layers': { ...image, layers: [] },
    'image with annotations': { ...image, annotations: { 'org.example.key': 'välue', b: '' } },
    'image with custom fields': { ...image, 'org.QX3': 'x', nested: { a: [1, { b: null }] } },
    'image with data': { ...image, config: describeWithData(mediaTypes.ociEmpty, '{}') },
    'image with foreign layers': {
      ...image,
      layers: [
        describe(mediaTypes.ociForeignLayerGzip, 'foreign', { urls: ['https://example.com/l'] }),
        layer,
      ],
    },
    artifact: {
      ...image,
      artifactType: 'application/vnd.example.sbom.v1',
      config: describeWithData(mediaTypes.ociEmpty, '{}'),
      subject,
    },
    index,
    'empty index': { ...index, manifests: [] },
    'index with a subject': { ...index, artifactType: 'application/vnd.example+x', subject },
    'build cache': {
      ...index,
      manifests: [layer, describe('application/vnd.buildkit.cacheconfig.v0', 'cache')],
    },
    'docker image': {
      schemaVersion: 2,
      mediaType: mediaTypes.dockerImage,
      config: describe(mediaTypes.dockerConfig, 'config'),
      layers: [describe(mediaTypes.dockerLayerGzip, 'a'), describe(mediaTypes.dockerLayer, 'b')],
    },
    'docker index': {
      schemaVersion: 2,
      mediaType: mediaTypes.dockerIndex,
      manifests: [describe(mediaTypes.dockerImage, 'child', { platform })],
    },
    'artifact manifest': {
      mediaType: mediaTypes.ociArtifact,
      artifactType: 'application/vnd.example.sbom.v1',
      blobs: [describe('text/plain', 'blob')],
      subject,
    },
  }
}

/** One of them, to be changed at will. */
export function sampleManifest(name: string): Json {
  const manifest = sampleManifests()[name]
  if (manifest === undefined) throw new Error(`no sample is named ${name}`)
  return structuredClone(manifest)
}
