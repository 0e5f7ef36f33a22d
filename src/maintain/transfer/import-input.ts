// What a request for an import must look like, over the admin interface and on the command line alike.

import { isAbsolute } from 'node:path'
import { parseRepositoryName } from '../../oci/name.ts'
import type { Importer, ImportRequest } from './contract.ts'

/** Either content is brought, or what was adopted is taken over. */
export type ImportInput =
  | { readonly kind: 'import'; readonly request: ImportRequest }
  | { readonly kind: 'take-over'; readonly dryRun: boolean }

type Parsed = { readonly input: ImportInput } | { readonly error: string }

const known: ReadonlySet<string> = new Set([
  ...['from', 'source', 'repository', 'overwrite', 'dryRun', 'bytesPerSecond', 'options'],
  'takeOver',
])
const bytesPerSecondMax = 2 ** 40
const sourceLengthMax = 4096

export function parseImport(value: unknown, importers: readonly Importer[]): Parsed {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { error: 'an import is described by a JSON object' }
  }
  const input = value as Readonly<Record<string, unknown>>
  const stray = Object.keys(input).find((key) => !known.has(key))
  if (stray !== undefined) return { error: `an import has no ${JSON.stringify(stray)}` }
  for (const key of ['overwrite', 'dryRun', 'takeOver'] as const) {
    if (input[key] !== undefined && typeof input[key] !== 'boolean') {
      return { error: `${key} is true or false` }
    }
  }
  return input['takeOver'] === true ? parseTakeOver(input) : parseRequest(input, importers)
}

function parseTakeOver(input: Readonly<Record<string, unknown>>): Parsed {
  const other = Object.keys(input).find((key) => key !== 'takeOver' && key !== 'dryRun')
  if (other !== undefined) return { error: `${other} does not go with takeOver` }
  return { input: { kind: 'take-over', dryRun: input['dryRun'] === true } }
}

function parseRequest(
  input: Readonly<Record<string, unknown>>,
  importers: readonly Importer[],
): Parsed {
  const { from, source, repository, options = {}, bytesPerSecond = 0 } = input as Loose
  const importer = importers.find((each) => each.from === from)
  if (importer === undefined) {
    return { error: `from is one of ${importers.map((each) => each.from).join(', ')}` }
  }
  if (typeof source !== 'string' || source === '' || source.length > sourceLengthMax) {
    return { error: 'source names what to import' }
  }
  if (importer.from !== 'registry') {
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(source)?.[1]
    if (scheme !== undefined) return { error: noObjectStore(scheme) }
    if (!isAbsolute(source)) return { error: 'source is no whole path' }
  }
  if (source.includes('\0')) return { error: 'source is no path' }
  if (repository !== undefined) {
    const isName = typeof repository === 'string' && parseRepositoryName(repository) !== undefined
    if (!isName) return { error: 'repository is not the name of a repository' }
  }
  if (!isRate(bytesPerSecond)) return { error: 'bytesPerSecond is a whole number' }
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    return { error: 'options is an object' }
  }
  const request: ImportRequest = {
    ...{ from: importer.from, source, bytesPerSecond },
    ...(repository === undefined ? {} : { repository: repository as string }),
    overwrite: input['overwrite'] === true,
    dryRun: input['dryRun'] === true,
    options: options as Readonly<Record<string, unknown>>,
  }
  const error = importer.check?.(request)
  return error === undefined ? { input: { kind: 'import', request } } : { error }
}

function noObjectStore(scheme: string): string {
  return /^https?$/i.test(scheme)
    ? 'source is a URL: that is --from registry'
    : `source lies in an object store (${scheme}://), from which nothing is imported yet: copy it to a directory of this host first, such as with rclone`
}

interface Loose {
  readonly from?: unknown
  readonly source?: unknown
  readonly repository?: unknown
  readonly options?: unknown
  readonly bytesPerSecond?: unknown
}

/** That there is an option which a kind of source does not know; undefined where there is none. */
export function strayOption(
  { from, options }: ImportRequest,
  known: readonly string[],
): string | undefined {
  const stray = Object.keys(options).find((name) => !known.includes(name))
  return stray === undefined ? undefined : `an import from ${from} takes no ${stray}`
}

function isRate(value: unknown): value is number {
  return (
    typeof value === 'number' &&
    Number.isSafeInteger(value) &&
    value >= 0 &&
    value <= bytesPerSecondMax
  )
}
