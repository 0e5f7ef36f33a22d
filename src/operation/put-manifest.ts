// PUT of a manifest: check it, then store revision, tags and references in one transaction.

import { apiVersion } from '../http/error-reply.ts'
import { HeaderBlock, type HeaderPair } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import { type Digest, digestAlgorithm, digestOfBytes } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import {
  type Descriptor,
  defaultManifestLimits,
  type Manifest,
  parseManifest,
  referrerDescriptor,
} from '../oci/manifest.ts'
import type { Action } from '../route/action.ts'
import { withBody } from './collect-body.ts'
import { requireDiskRoom } from './disk-room.ts'
import { manifestLocation } from './location.ts'
import { requireManifest, requireRepository, requireTags } from './push-validation.ts'
import type { OperationRequest, Registry } from './registry.ts'
import type { RepositoryRule } from './repository-rules.ts'
import { immutableRefusal, quotaRefusal } from './rule-refusal.ts'

type PutManifest = Extract<Action, { kind: 'put-manifest' }>

/**
 * Source: distribution-spec end-7. Errors: OciError CONTENT_TOO_LARGE, MANIFEST_INVALID, DIGEST_INVALID,
 * MANIFEST_BLOB_UNKNOWN, STORAGE_FULL, UNAVAILABLE without memory for it, DENIED for what is not valid here, over a quota and (409) for a tag that may not
 * move; after any of them the store is as it was.
 */
export async function putManifest(
  action: PutManifest,
  request: OperationRequest,
  registry: Registry,
): Promise<Reply> {
  const { bodies, rules } = registry
  const rule = rules.rulesFor(action.repository)
  const { validations } = rule
  requireRepository(validations, action.repository)
  requireTags(validations, action.tags)
  // One that is too large is told so, whatever room there is.
  requireDiskRoom(registry, Math.min(request.body.length ?? 0, rule.manifestBytesMax))
  const contentType = request.header('content-type')
  const bounds = { bytesMax: rule.manifestBytesMax, room: bodies }
  return withBody(request.body, bounds, (bytes) => {
    return accept(action, { bytes, contentType }, registry, rule)
  })
}

async function accept(
  action: PutManifest,
  { bytes, contentType }: { readonly bytes: Uint8Array; readonly contentType: string },
  registry: Registry,
  rule: RepositoryRule,
): Promise<Reply> {
  const { limits } = registry
  const { validations } = rule
  const digest = verifiedDigest(action, bytes)
  const manifest = parseManifest(bytes, contentType === '' ? undefined : contentType, {
    ...defaultManifestLimits,
    descriptorsMax: limits.descriptorsMax,
  })
  requireManifest(validations, manifest, action.tags.length > 0)
  await registry.replies.during(() => store(action, manifest, digest, bytes, registry, rule))
  return createdReply(action, manifest, digest, registry)
}

function verifiedDigest(action: PutManifest, bytes: Uint8Array): Digest {
  const { reference } = action
  if (reference.kind === 'tag') return digestOfBytes('sha256', bytes)
  const computed = digestOfBytes(digestAlgorithm(reference.digest), bytes)
  if (computed === reference.digest) return computed
  throw new OciError('DIGEST_INVALID', {
    message: 'the content does not have this digest',
    detail: { expected: reference.digest, computed },
  })
}

async function store(
  action: PutManifest,
  manifest: Manifest,
  digest: Digest,
  bytes: Uint8Array,
  registry: Registry,
  { quotas, isImmutable }: RepositoryRule,
): Promise<void> {
  const { limits, metadata } = registry
  const result = await metadata.putManifest({
    repository: action.repository,
    digest,
    mediaType: manifest.mediaType,
    bytes,
    tags: action.tags,
    blobs: digestsOf(manifest.blobs),
    optionalBlobs: digestsOf(manifest.foreign),
    children: digestsOf(manifest.children),
    allowMissingBlobs: limits.allowMissingBlobs,
    allowMissingChildren: limits.allowMissingManifests,
    ...(manifest.subject === undefined
      ? {}
      : {
          subject: manifest.subject.digest,
          descriptor: referrerDescriptor(manifest, digest, bytes.length),
        }),
    quotas,
    isImmutable,
    nowMs: registry.now(),
  })
  switch (result.kind) {
    case 'stored':
      return
    case 'immutable':
      throw immutableRefusal(result)
    case 'over-quota':
      throw quotaRefusal(result)
    case 'missing':
      throw new OciError('MANIFEST_BLOB_UNKNOWN', {
        message: 'the manifest names content that this repository does not hold',
        detail: result.digests.slice(0, 32).map((missing) => ({ digest: missing })),
      })
  }
}

function digestsOf(descriptors: readonly Descriptor[]): Digest[] {
  return descriptors.map((descriptor) => descriptor.digest)
}

function createdReply(
  action: PutManifest,
  manifest: Manifest,
  digest: Digest,
  registry: Registry,
): Reply {
  const { reference } = action
  const named = reference.kind === 'tag' ? reference.tag : digest
  const headers: HeaderPair[] = [
    ['Location', manifestLocation(registry, action.repository, named)],
    ['Docker-Content-Digest', digest],
    apiVersion,
  ]
  if (manifest.subject !== undefined) headers.push(['OCI-Subject', manifest.subject.digest])
  if (reference.kind === 'digest') {
    for (const tag of action.tags) headers.push(['OCI-Tag', tag])
  }
  return { kind: 'whole', status: 201, headers: new HeaderBlock(headers), body: undefined }
}
