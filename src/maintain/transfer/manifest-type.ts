// The media type of a manifest that comes without one, from what is in it.

import { mediaTypes } from '../../oci/media-type.ts'
import { parseStrictJson } from '../../oci/strict-json.ts'

const limits = { depthMax: 32, keysMax: 5000, valuesMax: 300_000 }

/**
 * Its own; else what others say of it; else by its shape, as other registries tell the OCI types apart that
 * may leave it out. Undefined where it is no manifest.
 */
export function manifestTypeOf(bytes: Uint8Array, told: string | undefined): string | undefined {
  const json = parseStrictJson(bytes, limits)
  if (!json.ok || typeof json.value !== 'object' || json.value === null) return told
  const body = json.value as Readonly<Record<string, unknown>>
  const { mediaType, schemaVersion, manifests, config, layers, fsLayers } = body
  if (typeof mediaType === 'string' && mediaType !== '') return mediaType
  // Told apart here, so that the refusal names it.
  if (schemaVersion === 1 || fsLayers !== undefined) return mediaTypes.dockerSchema1Signed
  if (told !== undefined && told !== '') return told
  if (Array.isArray(manifests)) return mediaTypes.ociIndex
  return config !== undefined || Array.isArray(layers) ? mediaTypes.ociImage : undefined
}
