// A descriptor: what a manifest says of the content that it names.

import type { Digest } from './digest.ts'

/** Source: image-spec descriptor.md; only what the registry uses. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** In bytes. */
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}
