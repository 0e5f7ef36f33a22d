// Draws the tree of blob keys, the same on every backend that has keys:
//
//   blobs/<algorithm>/<2 hex>/<hex>/data   a whole, verified, immutable blob (Docker Distribution's)
//   _keelson/uploads/<upload id>           bytes of an upload that is not finished
//   _keelson/quarantine/<algorithm>-<hex>.<id>   bytes that were not what their digest says, for people
//   _keelson/erasing/<algorithm>-<hex>.<id>      bytes that are to be overwritten, or are just being
//   _keelson/store-id                      tells the blobs of one store from those of another
//   _keelson/encryption-keys/<id>          ids of the keys that some blob may be encrypted with
//   _keelson/moved-to                      the id that moved records give them, while nobody has used the old ones since

import { type Digest, type DigestAlgorithm, digestAlgorithm, digestHex } from '../../oci/digest.ts'
import type { UploadId } from '../../oci/upload-id.ts'

export const blobsKey = 'blobs'
/** Where Docker Distribution has its own records. */
export const repositoriesKey = 'repositories'
export const uploadsKey = '_keelson/uploads'
export const quarantineKey = '_keelson/quarantine'
export const erasingKey = '_keelson/erasing'
export const storeIdKey = '_keelson/store-id'
export const encryptionKeysKey = '_keelson/encryption-keys'
export const movedToKey = '_keelson/moved-to'
export const digestAlgorithms: readonly DigestAlgorithm[] = ['sha256', 'sha512']
/** Name of the bytes under a blob's own key. */
export const dataName = 'data'
/** Begins the names of files that a start makes for a moment, to see whether there are hard links. */
export const probeName = '.link-probe-'
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
