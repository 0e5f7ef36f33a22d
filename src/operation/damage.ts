// Where a request tells of a blob that is not what its record says: whoever looks at it is not known to it.

import type { Digest } from '../oci/digest.ts'

export class DamageReport {
  /** Whoever looks, once there is somebody. Returns at once, and never throws. */
  onFound: ((digest: Digest) => void) | undefined
}
