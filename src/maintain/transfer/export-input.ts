// What a request for an export must look like, over the admin interface and on the command line alike.

import { isAbsolute } from 'node:path'
import { parseRepositoryName, type RepositoryName } from '../../oci/name.ts'
import { parseReference, type Reference } from '../../oci/reference.ts'

/** `reference` absent: all tags. */
export interface ExportedName {
  readonly repository: RepositoryName
  readonly reference?: Reference
}

export interface ExportInput {
  readonly to: 'oci-layout'
  /** Absolute. */
  readonly path: string
  readonly images: readonly ExportedName[]
  /** Also what refers to them: signatures and the like. */
  readonly referrers: boolean
  /** Blobs are hard links to those of the store. */
  readonly link: boolean
  readonly dryRun: boolean
  /** 0: as many as it can. */
  readonly bytesPerSecond: number
}

const known: ReadonlySet<string> = new Set([
  ...['to', 'path', 'images', 'referrers', 'link', 'dryRun', 'bytesPerSecond'],
])
const imagesMax = 10_000

export function parseExport(
  value: unknown,
): { readonly input: ExportInput } | { readonly error: string } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { error: 'an export is described by a JSON object' }
  }
  const input = value as Readonly<Record<string, unknown>>
  const stray = Object.keys(input).find((key) => !known.has(key))
  if (stray !== undefined) return { error: `an export has no ${JSON.stringify(stray)}` }
  for (const key of ['referrers', 'link', 'dryRun'] as const) {
    if (input[key] !== undefined && typeof input[key] !== 'boolean') {
      return { error: `${key} is true or false` }
    }
  }
  const { to, path, bytesPerSecond = 0 } = input as Loose
  if (to !== 'oci-layout') return { error: 'to is oci-layout' }
  if (typeof path !== 'string' || !isAbsolute(path) || path.includes('\0')) {
    return { error: 'path is no whole path' }
  }
  if (
    typeof bytesPerSecond !== 'number' ||
    !Number.isSafeInteger(bytesPerSecond) ||
    bytesPerSecond < 0
  ) {
    return { error: 'bytesPerSecond is a whole number' }
  }
  const images = parseNames(input['images'])
  if (typeof images === 'string') return { error: images }
  return {
    input: {
      ...{ to, path, images, bytesPerSecond },
      referrers: input['referrers'] === true,
      link: input['link'] === true,
      dryRun: input['dryRun'] === true,
    },
  }
}

interface Loose {
  readonly to?: unknown
  readonly path?: unknown
  readonly bytesPerSecond?: unknown
}

function parseNames(value: unknown): readonly ExportedName[] | string {
  if (!Array.isArray(value) || value.length === 0) return 'images names what to export'
  if (value.length > imagesMax) return `images has more than ${imagesMax} names`
  const names: ExportedName[] = []
  for (const text of value) {
    const name = typeof text === 'string' ? parseName(text) : undefined
    if (name === undefined) {
      return `${JSON.stringify(text)} is neither a repository nor repository:tag nor repository@digest`
    }
    names.push(name)
  }
  return names
}

function parseName(text: string): ExportedName | undefined {
  const at = text.indexOf('@')
  const end = at >= 0 ? at : text.indexOf(':')
  const repository = parseRepositoryName(end < 0 ? text : text.slice(0, end))
  if (repository === undefined) return undefined
  if (end < 0) return { repository }
  const reference = parseReference(text.slice(end + 1))
  const isRight = reference?.kind === (at >= 0 ? 'digest' : 'tag')
  return reference !== undefined && isRight ? { repository, reference } : undefined
}
