// Which pulls of blobs are answered with the address of the bytes in place of the bytes.

import { apiVersion } from '../http/error-reply.ts'
import { HeaderBlock } from '../http/header-block.ts'
import { createNetworks } from '../http/networks.ts'
import type { Reply } from '../http/reply.ts'
import type { Digest } from '../oci/digest.ts'
import type { BlobAddresses } from '../storage/blob/contract.ts'

export interface RedirectTerms {
  /** In bytes: smaller blobs are served here. */
  readonly sizeMin: number
  /** Also where a range is asked for. */
  readonly ranges: boolean
  /** Addresses and CIDR ranges of clients, checked by the configuration. */
  readonly networks: readonly string[]
}

export interface RedirectedPull {
  readonly digest: Digest
  /** In bytes, of the blob. */
  readonly size: number
  readonly isRange: boolean
  readonly request: {
    /** As `OperationRequest`. */
    provenClientIp(): string | undefined
  }
}

export interface PullRedirects {
  /** Undefined: it is served here. */
  replyTo(pull: RedirectedPull): Reply | undefined
}

/** `onRedirect` is told of each. */
export function createPullRedirects(
  { sizeMin, ranges, networks }: RedirectTerms,
  addresses: BlobAddresses,
  onRedirect: () => void,
): PullRedirects {
  const near = createNetworks(networks)
  return {
    replyTo: ({ digest, size, isRange, request }) => {
      if (size < sizeMin || (isRange && !ranges)) return undefined
      const client = request.provenClientIp()
      if (client === undefined || !near.has(client)) return undefined
      const address = addresses.addressOf(digest)
      if (address === undefined) return undefined
      onRedirect()
      return redirectReply(digest, address)
    },
  }
}

// Nobody may keep it: the address is a secret, and ends.
function redirectReply(digest: Digest, address: string): Reply {
  const headers = new HeaderBlock([
    ['Location', address],
    ['Docker-Content-Digest', digest],
    ['Cache-Control', 'no-store'],
    apiVersion,
  ])
  return { kind: 'whole', status: 307, headers, body: undefined }
}
