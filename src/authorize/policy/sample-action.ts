// An action made up from its parts, for `policy test` and for the linter.

import { type Digest, parseDigest } from '../../oci/digest.ts'
import { parseRepositoryName, type RepositoryName } from '../../oci/name.ts'
import { parseReference, type Reference } from '../../oci/reference.ts'
import { newUploadId } from '../../oci/upload-id.ts'
import type { Action } from '../../route/action.ts'
import { hint } from './refusal.ts'
import { type PolicyAction, servedActions } from './variables.ts'

/** As a command line gives them. */
export interface ActionParts {
  readonly repository?: string | undefined
  readonly reference?: string | undefined
  readonly digest?: string | undefined
  readonly from?: string | undefined
  readonly artifactType?: string | undefined
}

/** Stands in for a digest or a session that was not given. */
export const sampleDigest: string = `sha256:${'0'.repeat(64)}`
const sampleUpload = newUploadId(() => '00000000-0000-4000-8000-000000000000')

/** Actions that are about no repository. */
type Elsewhere = Exclude<PolicyAction, Extract<Action, { repository: unknown }>['kind']>

const elsewhere = [
  'get-api-version',
  'metrics',
  'healthz',
  'readyz',
  'list-catalog',
] as const satisfies readonly Elsewhere[]

/** Errors: Error whose message says which part is missing or wrong. */
export function sampleAction(name: string, parts: ActionParts): Action {
  const kind = servedActions.find((served) => served === name) as PolicyAction | undefined
  if (kind === undefined)
    throw new Error(`there is no action '${name}'${hint(name, servedActions)}`)
  const page = {}
  if (kind === 'list-catalog') return { kind, page }
  if (isElsewhere(kind)) return { kind, head: false }
  const repository = repositoryOf(kind, 'repository', parts.repository)
  const head = false
  const algorithm = 'sha256'
  const upload = sampleUpload
  switch (kind) {
    case 'list-tags':
      return { kind, repository, page }
    case 'get-manifest':
      return { kind, repository, reference: referenceOf(parts), head }
    case 'put-manifest': {
      const reference = referenceOf(parts)
      const tags = reference.kind === 'tag' ? [reference.tag] : []
      return { kind, repository, reference, tags }
    }
    case 'delete-manifest':
      return { kind, repository, reference: referenceOf(parts) }
    case 'get-referrers': {
      const { artifactType } = parts
      const filter = artifactType === undefined ? {} : { artifactType }
      return { kind, repository, digest: digestOf(parts), page, ...filter }
    }
    case 'get-blob':
      return { kind, repository, digest: digestOf(parts), head }
    case 'delete-blob':
      return { kind, repository, digest: digestOf(parts) }
    case 'start-upload':
      return { kind, repository, algorithm }
    case 'mount-blob': {
      const from = parts.from === undefined ? {} : { from: repositoryOf(kind, 'from', parts.from) }
      return { kind, repository, digest: digestOf(parts), algorithm, ...from }
    }
    case 'get-upload':
      return { kind, repository, upload, head }
    case 'complete-upload':
      return { kind, repository, upload, digest: digestOf(parts) }
    default:
      return { kind, repository, upload }
  }
}

/** Every action that is served, on one repository. */
export function sampleActions(repository: string): readonly Action[] {
  return servedActions.map((kind) => sampleAction(kind, { repository }))
}

/** Whether the action is about a repository. */
export function needsRepository(kind: string): boolean {
  return !isElsewhere(kind)
}

function isElsewhere(kind: string): kind is Elsewhere {
  return elsewhere.some((other) => other === kind)
}

function repositoryOf(kind: string, part: string, text: string | undefined): RepositoryName {
  if (text === undefined) throw new Error(`${kind} needs --${part}`)
  const name = parseRepositoryName(text)
  if (name === undefined) throw new Error(`--${part}: '${text}' is not a repository name`)
  return name
}

function referenceOf({ reference: text = 'latest' }: ActionParts): Reference {
  const reference = parseReference(text)
  if (reference === undefined) throw new Error(`--reference: '${text}' is no tag and no digest`)
  return reference
}

function digestOf({ digest: text = sampleDigest }: ActionParts): Digest {
  const digest = parseDigest(text)
  if (digest === undefined) throw new Error(`--digest: '${text}' is not a digest`)
  return digest
}
