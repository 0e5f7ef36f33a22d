// What a request asks for. Made once by `route`; policy, dispatch, metrics and audit all read it.

import type { Digest, DigestAlgorithm } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { Reference } from '../oci/reference.ts'
import type { Scope } from '../oci/scope.ts'
import type { Tag } from '../oci/tag.ts'
import type { UploadId } from '../oci/upload-id.ts'

/** A page of a list, as the client asked for it. */
export interface ListPage {
  /** Undefined: as many as the list's own bound allows. */
  readonly limit?: number
  /** Exclusive. */
  readonly last?: string
}

/** What a client asks of the token service. */
export interface TokenQuery {
  /** Those that this registry knows; the others are not granted. */
  readonly scopes: readonly Scope[]
  /** `offline_token=true`: a refresh token as well. */
  readonly offline: boolean
  /** What the client calls itself; for the log alone. */
  readonly clientId?: string
}

interface InRepository {
  readonly repository: RepositoryName
}

interface InUpload extends InRepository {
  readonly upload: UploadId
}

/** `kind` is the name that policies use; HEAD shares the name of GET and differs in `head`. */
export type Action =
  | { readonly kind: 'get-api-version'; readonly head: boolean }
  | { readonly kind: 'get-token'; readonly of: 'query'; readonly query: TokenQuery }
  /** What is asked for is in the body. */
  | { readonly kind: 'get-token'; readonly of: 'form' }
  /** The public keys that verify tokens. */
  | { readonly kind: 'get-token'; readonly of: 'keys'; readonly head: boolean }
  /** What operators ask of the server itself. */
  | { readonly kind: 'metrics'; readonly head: boolean }
  | { readonly kind: 'healthz'; readonly head: boolean }
  | { readonly kind: 'readyz'; readonly head: boolean }
  | { readonly kind: 'list-catalog'; readonly page: ListPage }
  | (InRepository & { readonly kind: 'list-tags'; readonly page: ListPage })
  | (InRepository & {
      readonly kind: 'get-referrers'
      readonly digest: Digest
      readonly artifactType?: string
      readonly page: ListPage
    })
  | (InRepository & {
      readonly kind: 'get-manifest'
      readonly reference: Reference
      readonly head: boolean
    })
  | (InRepository & {
      readonly kind: 'put-manifest'
      readonly reference: Reference
      /** The path's tag, or those of `?tag=`. */
      readonly tags: readonly Tag[]
    })
  | (InRepository & { readonly kind: 'delete-manifest'; readonly reference: Reference })
  | (InRepository & { readonly kind: 'get-blob'; readonly digest: Digest; readonly head: boolean })
  | (InRepository & { readonly kind: 'delete-blob'; readonly digest: Digest })
  | (InRepository & {
      readonly kind: 'start-upload'
      readonly algorithm: DigestAlgorithm
      /** The whole blob is in this request's body. */
      readonly digest?: Digest
    })
  | (InRepository & {
      readonly kind: 'mount-blob'
      readonly digest: Digest
      readonly from?: RepositoryName
      /** For the session that starts when there is nothing to mount. */
      readonly algorithm: DigestAlgorithm
    })
  | (InUpload & { readonly kind: 'get-upload'; readonly head: boolean })
  | (InUpload & { readonly kind: 'update-upload' })
  | (InUpload & { readonly kind: 'complete-upload'; readonly digest: Digest })
  | (InUpload & { readonly kind: 'cancel-upload' })

export type ActionKind = Action['kind']
