// GET and HEAD of a manifest, by tag or digest. The hottest path: no promise where LMDB answers.

import { apiVersion, unknownReply } from '../http/error-reply.ts'
import { HeaderBlock } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import type { Digest } from '../oci/digest.ts'
import type { Action } from '../route/action.ts'
import type { MaybePromise, StoredManifest } from '../storage/metadata/contract.ts'
import { answerKept, notModified } from './conditional.ts'
import { chain, type OperationRequest, type Registry } from './registry.ts'
import type { KeptReply } from './reply-cache.ts'

type PullManifest = Extract<Action, { kind: 'get-manifest' }>

/** Source: distribution-spec end-3; conditional requests by RFC 9110 §13. */
export function pullManifest(
  action: PullManifest,
  request: OperationRequest,
  registry: Registry,
): MaybePromise<Reply> {
  const kept = registry.replies.get(action)
  if (kept !== undefined && !registry.shared && registry.replies.isCurrent(kept)) {
    return answer(action, kept, request, registry)
  }
  // Taken before the read: a write that lands in between makes this answer stale at once, not never.
  const { version } = registry.replies
  return chain(resolve(action, registry), (digest) => {
    if (digest === undefined) return forget(action, registry)
    return chain(registry.metadata.readManifest(action.repository, digest), (manifest) => {
      if (manifest === undefined) return goneSince(digest, action, request, registry)
      const fresh = kept?.digest === digest ? kept : render(manifest, action.head)
      fresh.version = version
      if (fresh !== kept) registry.replies.set(action, fresh)
      return answer(action, fresh, request, registry)
    })
  })
}

function answer(
  action: PullManifest,
  kept: KeptReply,
  request: OperationRequest,
  { pulls }: Registry,
): Reply {
  // A HEAD is a pull too: it is all that a node asks which has the image.
  if (kept.notedIn !== pulls.interval) pulls.note(action, kept)
  return answerKept(kept, request)
}

function resolve(action: PullManifest, registry: Registry): MaybePromise<Digest | undefined> {
  const { reference } = action
  return reference.kind === 'digest'
    ? reference.digest
    : registry.metadata.readTag(action.repository, reference.tag)
}

/** Another server may have moved the tag and deleted what it named, between the two reads. */
function goneSince(
  digest: Digest,
  action: PullManifest,
  request: OperationRequest,
  registry: Registry,
): MaybePromise<Reply> {
  return chain(resolve(action, registry), (now) =>
    // Each further look needs another move and another deletion.
    now === undefined || now === digest
      ? forget(action, registry)
      : pullManifest(action, request, registry),
  )
}

function forget(action: PullManifest, registry: Registry): Reply {
  registry.replies.delete(action)
  return unknownReply('MANIFEST_UNKNOWN')
}

function render(manifest: StoredManifest, head: boolean): KeptReply {
  const { digest, bytes } = manifest
  const etag = `"${digest}"`
  const headers = new HeaderBlock([
    ['Content-Type', manifest.mediaType],
    ['Docker-Content-Digest', digest],
    ['ETag', etag],
    apiVersion,
  ])
  return {
    digest,
    etag,
    reply: head
      ? { kind: 'head', status: 200, headers, length: bytes.length }
      : { kind: 'whole', status: 200, headers, body: bytes },
    notModified: notModified(etag),
    bytes: head ? 0 : bytes.length,
    version: -1,
    notedIn: 0,
  }
}
