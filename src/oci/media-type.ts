// Media types of manifests, configs and layers, and the grammar of media types in general.

export const mediaTypes = {
  ociImage: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  /** Of release candidates of OCI 1.1 and never released; some tools still push it. */
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociForeignLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  ociForeignLayerGzip: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  ociForeignLayerZstd: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  dockerImage: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerForeignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar',
  dockerForeignLayerGzip: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const

/** Longest media type with its parameters, in characters. */
export const mediaTypeLengthMax = 1024

// RFC 6838 §4.2: type and subtype have at most 127 characters each.
const namePartLengthMax = 127

/**
 * The type and subtype of a Content-Type, without parameters and with the case it was sent in;
 * undefined where they break the grammar. Parameters are not looked at.
 * Limits: `mediaTypeLengthMax`.
 * Source: RFC 9110 §8.3.1; RFC 6838 §4.2.
 */
export function parseMediaType(contentType: string): string | undefined {
  if (contentType.length > mediaTypeLengthMax) return undefined
  const semicolon = contentType.indexOf(';')
  const text = (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim()
  const slash = text.indexOf('/')
  if (slash < 0) return undefined
  if (!isRestrictedName(text, 0, slash)) return undefined
  if (!isRestrictedName(text, slash + 1, text.length)) return undefined
  return text
}

export function isImageMediaType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociImage || mediaType === mediaTypes.dockerImage
}

export function isIndexMediaType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerIndex
}

/** Docker's first format, which the registry refuses. */
export function isSchema1MediaType(mediaType: string): boolean {
  return mediaType === mediaTypes.dockerSchema1 || mediaType === mediaTypes.dockerSchema1Signed
}

/** Whether content of this type is stored as a manifest rather than as a blob. */
export function isManifestMediaType(mediaType: string): boolean {
  return (
    isImageMediaType(mediaType) ||
    isIndexMediaType(mediaType) ||
    isSchema1MediaType(mediaType) ||
    mediaType === mediaTypes.ociArtifact
  )
}

/** Layers that by their type need not be in the registry. */
export function isForeignLayerMediaType(mediaType: string): boolean {
  return (
    mediaType.startsWith(mediaTypes.ociForeignLayer) ||
    mediaType.startsWith(mediaTypes.dockerForeignLayer)
  )
}

/** Layers that by their type are distributed with the image, whatever URLs they name besides. */
export function isImageLayerMediaType(mediaType: string): boolean {
  return mediaType.startsWith(mediaTypes.ociLayer) || mediaType.startsWith(mediaTypes.dockerLayer)
}

function isRestrictedName(text: string, start: number, end: number): boolean {
  const length = end - start
  if (length < 1 || length > namePartLengthMax) return false
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i)
    const isAlphanumeric =
      (c >= 0x61 && c <= 0x7a) || (c >= 0x41 && c <= 0x5a) || (c >= 0x30 && c <= 0x39)
    if (!isAlphanumeric && (i === start || !isRestrictedMark(c))) return false
  }
  return true
}

// The marks ! # $ & - ^ _ . + of RFC 6838 §4.2, which may not come first.
function isRestrictedMark(c: number): boolean {
  return '!#$&-^_.+'.includes(String.fromCharCode(c))
}
