// What of a list its caller may see, as those know who decide about requests.

import type { RepositoryName } from '../oci/name.ts'
import type { Reference } from '../oci/reference.ts'
import type { MaybePromise } from '../storage/metadata/contract.ts'

export interface Sight {
  /** Undefined: all of them. */
  readonly repositories:
    | {
        /** One answer is that for all. */
        readonly areAlike: boolean
        sees(repository: RepositoryName): MaybePromise<boolean>
      }
    | undefined
  /** Of the one repository that is asked about. Undefined: all of them. */
  readonly references: ((reference: Reference) => MaybePromise<boolean>) | undefined
}

export const everything: Sight = { repositories: undefined, references: undefined }
