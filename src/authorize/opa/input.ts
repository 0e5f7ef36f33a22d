// What a policy in Rego sees of a request, as `input`.

import type { Identity } from '../../authenticate/identity.ts'
import type { ClientCertificate } from '../../http/client-certificate.ts'
import type { Action } from '../../route/action.ts'
import type { Question } from '../guard.ts'
import { limits } from '../policy/limits.ts'
import { areClaimsSmall } from '../policy/variables.ts'

export type OpaInput =
  | { readonly ok: true; readonly json: string }
  | { readonly ok: false; readonly reason: string }

const inputLengthMax = 65_536

/**
 * The body of the question. Parts that are not there are left out: in Rego, what reads them is then
 * undefined, so that no rule of which they are a part allows; null would be true wherever it stands
 * alone, and unequal to ''.
 *
 * Method and path are those of the action, not the client's spelling of them, which may differ from
 * what is served. An action that a request implies, such as reading what it mounts, has its own.
 *
 * Limits: 65,536 characters; claims as in rules. Source: docs/opa.md.
 */
export function opaInput({ identity, action, asked }: Question): OpaInput {
  if (identity.oidc !== null && !areClaimsSmall(identity.oidc.claims)) {
    const reason = `the claims are longer than ${limits.claimsBytesMax} bytes or deeper than ${limits.claimsDepthMax}`
    return { ok: false, reason }
  }
  const request = JSON.stringify({
    method: methodOf(action, asked.method),
    path: pathOf(action),
    action: action.kind,
    ...partsOf(action),
    client_ip: asked.clientIp(),
  })
  const json = `{"input":${request.slice(0, -1)},${identityJson(identity).slice(1)}}`
  if (json.length <= inputLengthMax) return { ok: true, json }
  return { ok: false, reason: `the input is longer than ${inputLengthMax} characters` }
}

function methodOf(action: Action, asked: string): string {
  switch (action.kind) {
    case 'get-api-version':
    case 'metrics':
    case 'healthz':
    case 'readyz':
    case 'get-manifest':
    case 'get-blob':
    case 'get-upload':
      return action.head ? 'HEAD' : 'GET'
    case 'get-token':
      return action.of === 'form' ? 'POST' : 'GET'
    // No action that a request implies.
    case 'list-catalog':
    case 'list-tags':
    case 'get-referrers':
      return asked === 'HEAD' ? 'HEAD' : 'GET'
    case 'start-upload':
    case 'mount-blob':
      return 'POST'
    case 'update-upload':
      return 'PATCH'
    case 'put-manifest':
    case 'complete-upload':
      return 'PUT'
    case 'delete-manifest':
    case 'delete-blob':
    case 'cancel-upload':
      return 'DELETE'
    default:
      return action satisfies never
  }
}

/** What stands between the slashes. Source: seed "registry-api-security-framework", its Rego. */
function pathOf(action: Action): readonly string[] {
  switch (action.kind) {
    case 'get-api-version':
      return ['v2']
    case 'metrics':
    case 'healthz':
    case 'readyz':
      return [action.kind]
    case 'get-token':
      return action.of === 'keys' ? ['token', 'jwks'] : ['token']
    case 'list-catalog':
      return ['v2', '_catalog']
    case 'list-tags':
      return below(action, 'tags', 'list')
    case 'get-referrers':
      return below(action, 'referrers', action.digest)
    case 'get-manifest':
    case 'put-manifest':
    case 'delete-manifest':
      return below(action, 'manifests', referenceOf(action.reference))
    case 'get-blob':
    case 'delete-blob':
      return below(action, 'blobs', action.digest)
    case 'start-upload':
    case 'mount-blob':
      return below(action, 'blobs', 'uploads')
    case 'get-upload':
    case 'update-upload':
    case 'complete-upload':
    case 'cancel-upload':
      return below(action, 'blobs', 'uploads', action.upload)
    default:
      return action satisfies never
  }
}

function below(
  { repository }: { readonly repository: string },
  ...rest: readonly string[]
): readonly string[] {
  return ['v2', ...repository.split('/'), ...rest]
}

function referenceOf(reference: Extract<Action, { reference: unknown }>['reference']): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest
}

// A push by digest may set tags that its path does not show.
function partsOf(action: Action): object {
  return {
    repository: 'repository' in action ? action.repository : undefined,
    reference: 'reference' in action ? referenceOf(action.reference) : undefined,
    tags: action.kind === 'put-manifest' ? action.tags : undefined,
    digest: 'digest' in action ? action.digest : undefined,
    from: action.kind === 'mount-blob' ? action.from : undefined,
  }
}

// One identity has many requests.
const identityJsons = new WeakMap<Identity, string>()

function identityJson(identity: Identity): string {
  const before = identityJsons.get(identity)
  if (before !== undefined) return before
  const { certificate, oidc, groups } = identity
  const json = JSON.stringify({
    groups,
    user: userOf(identity),
    claims: oidc?.claims,
    certificate: certificate === null ? undefined : certificateOf(certificate),
  })
  identityJsons.set(identity, json)
  return json
}

// Nothing that authenticates gives an empty name; where one came through, it would be nobody's.
function userOf(identity: Identity): object | undefined {
  const { id, username, oidc } = identity
  if (username === null || username === '') return undefined
  return {
    name: username,
    id: id ?? undefined,
    role: roleOf(identity),
    provider: oidc?.providerName,
  }
}

/** Never a choice among several groups, whose order says nothing. */
function roleOf({ oidc, groups }: Identity): string | undefined {
  const role = oidc?.claims['role']
  if (typeof role === 'string' && role !== '') return role
  return groups.length === 1 ? groups[0] : undefined
}

function certificateOf(certificate: ClientCertificate): object {
  const { commonNames, organizations, sans, serial, fingerprintSha256, notAfterMs } = certificate
  return {
    common_names: commonNames,
    organizations,
    sans,
    serial,
    fingerprint_sha256: fingerprintSha256,
    not_after: new Date(notAfterMs).toISOString(),
  }
}
