// Tags that only say something about an image: cosign's signatures, and the lists of referrers that clients
// keep where a registry has none.

import { parseDigest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { Tag } from '../../oci/tag.ts'
import type { MaintenanceStore } from '../../storage/metadata/maintenance.ts'

// Source: distribution-spec "Referrers Tag Schema", which cuts hex after 64 characters; cosign SIGNATURE_SPEC
// "Tag-based discovery".
const companionForm = /^(sha256|sha512)-([0-9a-f]{64})(?:\.[a-z]+)?$/

const companionLengthMin = 'sha256-'.length + 64

/** The image that a tag is about, as far as the tag tells: of SHA-512 half of its hex. Undefined for any other tag. */
export interface Subject {
  readonly algorithm: 'sha256' | 'sha512'
  readonly hex: string
}

/** Undefined for a tag that stands for itself. */
export function subjectOf(tag: Tag): Subject | undefined {
  if (tag.length < companionLengthMin) return undefined
  const [, algorithm, hex] = companionForm.exec(tag) ?? []
  if (hex === undefined) return undefined
  return { algorithm: algorithm === 'sha512' ? 'sha512' : 'sha256', hex }
}

/** Whether what the tag is about is there. */
export async function isAccompanying(
  metadata: Pick<MaintenanceStore, 'listManifests' | 'readManifest'>,
  repository: RepositoryName,
  tag: Tag,
): Promise<boolean> {
  const subject = subjectOf(tag)
  if (subject === undefined) return false
  const { algorithm, hex } = subject
  // Of SHA-512 the first digest that begins so.
  const first = parseDigest(`${algorithm}:${hex.padEnd(algorithm === 'sha512' ? 128 : 64, '0')}`)
  if (first === undefined) return false
  if ((await metadata.readManifest(repository, first)) !== undefined) return true
  if (algorithm === 'sha256') return false
  // One that cannot be read may be it.
  let isDamaged = false
  const onCorrupt = (): void => {
    isDamaged = true
  }
  const page = { after: first, limit: 1, onCorrupt }
  const [next] = await metadata.listManifests(repository, page)
  return isDamaged || next?.digest.startsWith(`${algorithm}:${hex}`) === true
}
