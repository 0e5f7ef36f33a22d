// Goal: whatever is pushed as a manifest, the parser refuses it as MANIFEST_INVALID or reads it as a lenient
// JSON reader would. Method: valid manifests spoilt at random in bytes and in structure; KEELSON_TEST_SEED
// repeats a run, whose seed is printed.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { parseDigest } from '../../src/oci/digest.ts'
import { OciError } from '../../src/oci/error.ts'
import {
  defaultManifestLimits,
  type Manifest,
  type ManifestLimits,
  parseManifest,
} from '../../src/oci/manifest.ts'
import { mediaTypes, parseMediaType } from '../../src/oci/media-type.ts'
import { sampleManifests } from '../oci/sample-manifests.ts'

const caseCount = 30_000
const tightLimits: ManifestLimits = {
  depthMax: 6,
  descriptorsMax: 4,
  annotationsMax: 3,
  annotationLengthMax: 40,
}

const seed = Number(process.env['KEELSON_TEST_SEED'] ?? randomInt(2 ** 31))
const samples = Object.values(sampleManifests()).map((manifest) => JSON.stringify(manifest))
const contentTypes = [
  ...Object.values(mediaTypes),
  'application/json; charset=utf-8',
  '',
  ',',
  'a/b',
]

// Mulberry32: small, and the same everywhere for one seed.
let state = seed
function random(below: number): number {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) % below
}

function pick<T>(values: readonly T[]): T {
  return values[random(values.length)]!
}

// Structure: every place in a document is an owner and a key into it.
type Owner = Record<string, unknown>

function places(value: unknown, found: [Owner, string][] = []): [Owner, string][] {
  if (typeof value !== 'object' || value === null) return found
  const owner = value as Owner
  for (const key of Object.keys(owner)) {
    found.push([owner, key])
    places(owner[key], found)
  }
  return found
}

const strangeValues: readonly unknown[] = [
  null,
  true,
  '',
  'x',
  'sha256:baddigeststring',
  `sha256:${'0'.repeat(64)}`,
  `sha512:${'f'.repeat(128)}`,
  0,
  -1,
  1.5,
  1e300,
  2 ** 53,
  [],
  {},
  [[]],
  { length: 3 },
  [null],
  'e30=',
  '=',
  ...Object.values(mediaTypes),
]

const strangeKeys = [
  ...['manifests', 'layers', 'config', 'blobs', 'fsLayers', 'subject', 'annotations', 'data'],
  ...['Layers', 'MediaType', 'urls', 'artifactType', 'constructor', 'length', 'toString', ''],
]

function add(owner: Owner, value: unknown): void {
  if (Array.isArray(owner)) owner.push(value)
  else owner[pick(strangeKeys)] = value
}

function spoilStructure(text: string): string {
  const manifest = JSON.parse(text) as Owner
  for (let i = random(3); i >= 0; i--) {
    const all = places(manifest)
    if (all.length === 0) break
    const [owner, key] = pick(all)
    const donor = places(JSON.parse(pick(samples)))
    const [giver, gift] = pick(donor)
    switch (random(6)) {
      case 0:
        delete owner[key]
        break
      case 1:
        owner[key] = structuredClone(pick(strangeValues))
        break
      case 2:
        owner[key] = giver[gift]
        break
      case 3:
        add(owner, giver[gift])
        break
      case 4:
        add(owner, structuredClone(pick(strangeValues)))
        break
      default:
        owner[key] = { [pick(strangeKeys)]: structuredClone(owner[key]) }
    }
  }
  return JSON.stringify(manifest)
}

function spoilBytes(bytes: Buffer): Buffer {
  const at = random(bytes.length + 1)
  const end = Math.min(bytes.length, at + random(40))
  switch (random(7)) {
    case 0:
      if (at < bytes.length) bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random(8)), at)
      return bytes
    case 1:
      return bytes.subarray(0, at)
    case 2:
      return bytes.subarray(at)
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)])
    case 4:
      return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)])
    case 5:
      return Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from(pick(['"', '\\', '{', '}', ',', '[', '\u0000', '\\u0061', '"a":1,', 'é'])),
        bytes.subarray(at),
      ])
    default: {
      const other = Buffer.from(pick(samples))
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random(other.length))])
    }
  }
}

function nextBody(): Buffer {
  const text = random(3) > 0 ? spoilStructure(pick(samples)) : pick(samples)
  let bytes: Buffer = Buffer.from(text)
  if (random(2) === 0) for (let i = random(3); i >= 0; i--) bytes = spoilBytes(bytes)
  return bytes
}

/** Digests of all that a reader without any checks would fetch. */
function lenientDigests(body: Owner): Set<unknown> {
  // An image or index may have a member `blobs`, of which no reader knows.
  const isArtifact = body['mediaType'] === mediaTypes.ociArtifact
  const keys = isArtifact ? ['blobs'] : ['config', 'layers', 'manifests']
  const named = keys.flatMap((key) => body[key] ?? []) as Owner[]
  return new Set(named.map((descriptor) => descriptor['digest']))
}

function checkAccepted(manifest: Manifest, bytes: Buffer, contentType: string | undefined): void {
  const body = JSON.parse(bytes.toString()) as Owner
  const sent = parseMediaType(contentType ?? '') ?? body['mediaType']
  assert.equal(manifest.mediaType, sent)
  const listed = [...manifest.blobs, ...manifest.foreign, ...manifest.children]
  const digests = listed.map(({ digest }) => digest)
  assert.deepEqual(new Set(digests), lenientDigests(body))
  for (const list of [manifest.blobs, manifest.foreign, manifest.children]) {
    assert.equal(new Set(list.map(({ digest }) => digest)).size, list.length)
  }
  const subject = body['subject'] as Owner | undefined | null
  assert.equal(manifest.subject?.digest, subject?.['digest'])
  for (const of of manifest.subject === undefined ? listed : [...listed, manifest.subject]) {
    assert.equal(parseDigest(of.digest), of.digest)
    assert.ok(Number.isSafeInteger(of.size) && of.size >= 0)
    assert.notEqual(parseMediaType(of.mediaType), undefined)
  }
  assert.deepEqual(manifest.annotations, body['annotations'] ?? undefined)
}

test('a spoilt manifest is refused as MANIFEST_INVALID or read as it stands', (t) => {
  t.diagnostic(`KEELSON_TEST_SEED=${seed}`)
  const reasons = new Map<string, number>()
  for (let i = 0; i < caseCount; i++) {
    const bytes = nextBody()
    const contentType = random(2) === 0 ? undefined : pick(contentTypes)
    const limits = random(8) === 0 ? tightLimits : defaultManifestLimits
    const place = () => `seed ${seed}, case ${i}, ${contentType}: ${bytes.toString('latin1')}`
    let reason = 'accepted'
    try {
      const manifest = parseManifest(bytes, contentType, limits)
      try {
        checkAccepted(manifest, bytes, contentType)
      } catch (error) {
        assert.fail(`${error}\n${place()}`)
      }
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      assert.ok(
        error instanceof OciError && error.code === 'MANIFEST_INVALID',
        `${error}\n${place()}`,
      )
      reason = String((error.detail as { reason: unknown }).reason)
    }
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  }
  t.diagnostic(`${caseCount} cases, ${reasons.size} answers, ${reasons.get('accepted')} accepted`)
  // The run is worth something only if it gets past the first check and reaches most of them.
  assert.ok((reasons.get('accepted') ?? 0) > caseCount / 50, 'too few are accepted')
  assert.ok(reasons.size >= 20, `only ${[...reasons.keys()].join('; ')}`)
})
