// Paths that replies point to.

import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { UploadId } from '../oci/upload-id.ts'

interface Origin {
  readonly externalUrl: string
}

export function uploadLocation(origin: Origin, repository: RepositoryName, id: UploadId): string {
  return `${origin.externalUrl}/v2/${repository}/blobs/uploads/${id}`
}

export function blobLocation(origin: Origin, repository: RepositoryName, digest: Digest): string {
  return `${origin.externalUrl}/v2/${repository}/blobs/${digest}`
}

export function manifestLocation(
  origin: Origin,
  repository: RepositoryName,
  reference: string,
): string {
  return `${origin.externalUrl}/v2/${repository}/manifests/${reference}`
}
