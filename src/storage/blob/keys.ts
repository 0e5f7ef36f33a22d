// Draws the tree of blob keys, the same on every backend that has keys:
//
//   blobs/<algorithm>/<2 hex>/<hex>/data   a whole, verified, immutable blob (Docker Distribution's)
//   _keelson/uploads/<upload id>           bytes of an upload that is not finished

import { type Digest, type DigestAlgorithm, digestAlgorithm, digestHex } from '../../oci/digest.ts'
import type { UploadId } from '../../oci/upload-id.ts'

export const blobsKey = 'blobs'
export const uploadsKey = '_keelson/uploads'
export const digestAlgorithms: readonly DigestAlgorithm[] = ['sha256', 'sha512']
/** Name of the bytes under a blob's own key. */
export const dataName = 'data'
/** Hex characters that the blobs of one algorithm are spread by. */
export const prefixLength = 2

export function algorithmKey(algorithm: DigestAlgorithm): string {
  return `${blobsKey}/${algorithm}`
}

/** What holds all blobs whose hex begins alike. */
export function prefixKey(digest: Digest): string {
  return `${algorithmKey(digestAlgorithm(digest))}/${digestHex(digest).slice(0, prefixLength)}`
}

/** What holds one blob. */
export function blobKey(digest: Digest): string {
  return `${prefixKey(digest)}/${digestHex(digest)}`
}

/** The bytes of one blob. */
export function dataKey(digest: Digest): string {
  return `${blobKey(digest)}/${dataName}`
}

export function uploadKey(upload: UploadId): string {
  return `${uploadsKey}/${upload}`
}
