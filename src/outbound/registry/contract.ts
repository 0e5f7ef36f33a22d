// Another registry as we read it: what it lists, and its content by digest. Nothing of it is believed here.

import type { Digest } from '../../oci/digest.ts'
import type { CallerAuth, CallerTls } from '../contract.ts'

export interface RemoteRegistryOptions {
  /** For messages, such as `scrub.peer.east`. */
  readonly name: string
  /** `https://host[:port]`, or `http://` to this host; without a path. */
  readonly url: string
  readonly auth?: Extract<CallerAuth, { kind: 'basic' }>
  readonly tls?: CallerTls
  /** To any host without TLS, and without credentials. */
  readonly allowPlainHttp?: boolean
  /** Units: ms. For a connection, for the head of an answer, and between two pieces of its body. */
  readonly timeoutMs: number
  readonly connectionsMax: number
  /** Units: bytes. */
  readonly manifestBytesMax: number
  /** Resolves after so many ms, or rejects with the signal's reason. */
  readonly wait: (ms: number, signal: AbortSignal | undefined) => Promise<void>
  /** Units: ms of a clock that only goes forward. */
  readonly elapsed: () => number
}

/**
 * `unauthorized`: credentials are missing or refused. `denied`: known, and not allowed. `absent`: it
 * says that there is none. `unavailable`: it could not be asked, or fails. `malformed`: no registry speaks so.
 */
export type RemoteProblem = 'unauthorized' | 'denied' | 'absent' | 'unavailable' | 'malformed'

/** Its message is for the operator, and holds no secret. */
export class RemoteError extends Error {
  override readonly name = 'RemoteError'
  readonly problem: RemoteProblem

  constructor(problem: RemoteProblem, message: string, cause?: unknown) {
    super(message, { cause })
    this.problem = problem
  }
}

export interface RemoteManifest {
  /** As the answer says; '' where it does not. */
  readonly mediaType: string
  readonly bytes: Uint8Array
}

export interface RemoteBlob {
  /** In bytes, from the asked offset on; undefined where it is not announced. */
  readonly size: number | undefined
  /** Ends in a RemoteError 'unavailable' where it breaks off. Take it or `cancel`. */
  readonly body: AsyncIterable<Uint8Array>
  /** Idempotent; after it the body gives nothing. */
  cancel(): void
}

/**
 * Every method may throw RemoteError 'unavailable', 'unauthorized', 'denied' and 'malformed'. What
 * fails for a moment (transport, 429, 5xx) is tried again a few times before.
 * Contract: test/outbound/registry/.
 */
export interface RemoteRegistry {
  /** Source: distribution-spec's `_catalog` extension. Errors: also 'absent' where it lists none. */
  repositories(signal?: AbortSignal): AsyncIterable<string>
  /** None for a repository that is not there. Source: distribution-spec end-8a. */
  tags(repository: string, signal?: AbortSignal): AsyncIterable<string>
  /** Digests of what refers to `subject`. None where it has no such list. Source: end-12a, and its fallback tag. */
  referrers(repository: string, subject: Digest, signal?: AbortSignal): Promise<string[]>
  /** Undefined where it has none. Whether the bytes have the digest is the caller's to see. */
  manifest(
    repository: string,
    reference: string,
    signal?: AbortSignal,
  ): Promise<RemoteManifest | undefined>
  /** From `offset` on; undefined where it has none. What it sends before the offset is passed over. */
  blob(
    repository: string,
    digest: Digest,
    options?: { readonly offset?: number; readonly signal?: AbortSignal },
  ): Promise<RemoteBlob | undefined>
  close(): Promise<void>
}
