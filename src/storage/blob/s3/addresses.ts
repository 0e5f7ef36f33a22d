// Where clients fetch blobs from the bucket themselves, for a while.

import type { Digest } from '../../../oci/digest.ts'
import type { S3Credentials } from '../../../s3/contract.ts'
import { presignedGet } from '../../../s3/presign.ts'
import type { BlobAddresses } from '../contract.ts'
import { dataKey } from '../keys.ts'

// A client needs some time to begin: credentials that end before that are of no use to it.
const lastMsMin = 10_000

export interface AddressOptions {
  readonly bucketUrl: URL
  readonly region: string
  /** Ends in a slash. */
  readonly root: string
  readonly expiryMs: number
  readonly credentials: () => S3Credentials
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export function createAddresses(options: AddressOptions): BlobAddresses {
  const { bucketUrl, region, root, expiryMs, now } = options
  return {
    addressOf: (digest: Digest) => {
      const credentials = options.credentials()
      const nowMs = now()
      // What they have signed ends with them.
      const { expiresAtMs = Number.POSITIVE_INFINITY } = credentials
      const lastMs = Math.min(expiryMs, expiresAtMs - nowMs)
      if (lastMs < lastMsMin) return undefined
      const key = `${root}${dataKey(digest)}`
      const seconds = Math.floor(lastMs / 1000)
      return presignedGet({ bucketUrl, region, key, credentials, nowMs, seconds })
    },
  }
}
