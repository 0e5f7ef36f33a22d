// The variables that access rules read, as one table: the type check, evaluation and the documents use it.

import type { Action, ActionKind } from '../../route/action.ts'
import type { Subject } from './frame.ts'
import { limits } from './limits.ts'
import { type Absent, absent } from './value.ts'
import type { LeafOf, RecordOf } from './vocabulary.ts'

type Leaf = LeafOf<Subject>
type RecordVariable = RecordOf<Subject>

const always = (): boolean => true

const request: RecordVariable = {
  type: 'Request',
  isPresent: always,
  fields: {
    action: text('The name of the action.', ({ action }) => action.kind),
    namespace: text('The repository.', ({ action }) => part(action, 'repository')),
    repository: text('The same.', ({ action }) => part(action, 'repository')),
    reference: text('The tag or digest in the path.', ({ action }) =>
      'reference' in action ? referenceText(action.reference) : undefined,
    ),
    tags: list('The tags that a push sets; empty for other actions.', ({ action }) =>
      action.kind === 'put-manifest' ? action.tags : [],
    ),
    digest: text('The digest of a blob or of a referrers list.', ({ action }) =>
      part(action, 'digest'),
    ),
    session_id: text('The upload session.', ({ action }) => part(action, 'upload')),
    from: text('The repository that a blob is mounted from, when it is named.', ({ action }) =>
      part(action, 'from'),
    ),
    digest_algorithm: text('The algorithm of a new upload.', ({ action }) =>
      part(action, 'algorithm'),
    ),
    artifact_type: text('The artifact type that referrers are filtered by.', ({ action }) =>
      part(action, 'artifactType'),
    ),
    n: {
      type: 'int',
      doc: 'The page size that was asked for.',
      read: ({ action }) =>
        'page' in action && action.page.limit !== undefined ? BigInt(action.page.limit) : undefined,
    },
    last: text('The name after which the page starts.', ({ action }) =>
      'page' in action ? action.page.last : undefined,
    ),
  },
}

const certificate: RecordVariable = {
  type: 'Certificate',
  isPresent: ({ identity }) => identity.certificate !== null,
  fields: {
    common_names: list(
      'Every CN of the subject; empty without a certificate.',
      ({ identity }) => identity.certificate?.commonNames ?? [],
    ),
    organizations: list(
      'Every O of the subject; empty without a certificate.',
      ({ identity }) => identity.certificate?.organizations ?? [],
    ),
    sans: {
      type: 'SubjectAlternativeNames',
      isPresent: always,
      fields: {
        dns: list('DNS names.', ({ identity }) => identity.certificate?.sans.dns ?? []),
        uri: list('URIs, SPIFFE ids among them.', ({ identity }) => {
          return identity.certificate?.sans.uri ?? []
        }),
        email: list('Mail addresses.', ({ identity }) => identity.certificate?.sans.email ?? []),
      },
    },
    serial: text('The serial number, in upper-case hexadecimal.', ({ identity }) =>
      known(identity.certificate?.serial),
    ),
    fingerprint_sha256: text('SHA-256 of the certificate, in lower-case hexadecimal.', (subject) =>
      known(subject.identity.certificate?.fingerprintSha256),
    ),
    not_after: {
      type: 'timestamp',
      doc: 'When the certificate expires.',
      read: ({ identity }, frame) => {
        if (identity.certificate === null) return absent
        frame.charge(10)
        return new Date(identity.certificate.notAfterMs)
      },
    },
  },
}

const oidc: RecordVariable = {
  type: 'Oidc',
  isPresent: ({ identity }) => identity.oidc !== null,
  fields: {
    provider_name: text('The provider that issued the token.', ({ identity }) =>
      known(identity.oidc?.providerName),
    ),
    claims: {
      type: 'map<string, dyn>',
      doc: 'The claims of the token.',
      read: ({ identity }, frame) => {
        if (identity.oidc === null) return absent
        if (areClaimsSmall(identity.oidc.claims)) return identity.oidc.claims
        throw frame.fault(
          `the claims are longer than ${limits.claimsBytesMax} bytes or deeper than ${limits.claimsDepthMax}`,
        )
      },
    },
  },
}

const identity: RecordVariable = {
  type: 'Identity',
  isPresent: always,
  fields: {
    id: text('The configured id.', (subject) => known(subject.identity.id)),
    username: text('The user name.', (subject) => known(subject.identity.username)),
    client_ip: text('The address of the client.', (subject) => subject.clientIp()),
    groups: list('The groups of the user.', (subject) => subject.identity.groups),
    certificate,
    oidc,
  },
}

/** Everything that a rule can name. */
export const variables: Readonly<Record<string, RecordOf<Subject>>> = { request, identity }

/** A token gives no right by itself, so who may ask for one is a matter of logging in alone. */
export type PolicyAction = Exclude<ActionKind, 'get-token'>

const served = {
  'get-api-version': true,
  'list-catalog': true,
  'list-tags': true,
  'get-referrers': true,
  'get-manifest': true,
  'put-manifest': true,
  'delete-manifest': true,
  'get-blob': true,
  'delete-blob': true,
  'start-upload': true,
  'mount-blob': true,
  'get-upload': true,
  'update-upload': true,
  'complete-upload': true,
  'cancel-upload': true,
  metrics: true,
  healthz: true,
  readyz: true,
} satisfies Readonly<Record<PolicyAction, true>>

/** The actions that this version serves and asks the policies about. */
export const servedActions: readonly string[] = Object.keys(served)

/** Every action that a rule may name; those that are not served yet never come up. */
export const knownActions: readonly string[] = [
  ...servedActions,
  ...['get-token', 'ui-asset', 'ui-config'],
  ...['list-repositories', 'list-namespaces', 'list-revisions', 'list-uploads'],
  ...['list-jobs', 'list-failed-jobs', 'retry-job', 'delete-job'],
]

function text(doc: string, read: Leaf['read']): Leaf {
  return { type: 'string', doc, read }
}

function list(doc: string, read: Leaf['read']): Leaf {
  return { type: 'list<string>', doc, read }
}

// Nothing that authenticates gives an empty name; where one came through, it would be nobody's.
function known(value: string | null | undefined): string | Absent {
  return value === null || value === undefined || value === '' ? absent : value
}

type Part = 'repository' | 'digest' | 'upload' | 'from' | 'algorithm' | 'artifactType'

function part(action: Action, name: Part): string | undefined {
  return (action as { readonly [name in Part]?: string })[name]
}

function referenceText(reference: Extract<Action, { reference: unknown }>['reference']): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest
}

const smallClaims = new WeakMap<object, boolean>()

/** Whether rules may read them; counted once for each token, since some do on every request. */
export function areClaimsSmall(claims: Readonly<Record<string, unknown>>): boolean {
  const before = smallClaims.get(claims)
  if (before !== undefined) return before
  const isSmall =
    isShallow(claims, limits.claimsDepthMax) &&
    Buffer.byteLength(JSON.stringify(claims)) <= limits.claimsBytesMax
  smallClaims.set(claims, isSmall)
  return isSmall
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1))
}
