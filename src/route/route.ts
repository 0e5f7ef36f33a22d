// (method, path, query) → Action. Pure and synchronous; nobody downstream looks at a URL again.

import { parseDigest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { parseRepositoryName, type RepositoryName } from '../oci/name.ts'
import { looksLikeDigest, parseReference, type Reference } from '../oci/reference.ts'
import { parseUploadId } from '../oci/upload-id.ts'
import type { Action } from './action.ts'
import * as parameters from './query.ts'

/** `path` and `query` as sent, undecoded, without `?`. */
export interface RouteRequest {
  readonly method: string
  readonly path: string
  readonly query: string
}

const prefix = '/v2/'
const tokenForm: Action = Object.freeze({ kind: 'get-token', of: 'form' })
// Name, reference and fixed parts together; anything longer names nothing that can exist.
const pathLengthMax = 1024
const queryLengthMax = 8192

/**
 * Errors: OciError ROUTE_UNKNOWN, UNSUPPORTED (405, with Allow), NAME_INVALID, TAG_INVALID,
 * DIGEST_INVALID, PAGINATION_INVALID, BLOB_UPLOAD_UNKNOWN, MANIFEST_UNKNOWN.
 * Source: distribution-spec "Endpoints"; test/route/route.test.ts.
 */
export function route(request: RouteRequest): Action {
  if (request.path.length > pathLengthMax || request.query.length > queryLengthMax) {
    throw new OciError('REQUEST_INVALID', { status: 414, message: 'the target is too long' })
  }
  const path = decodePath(request.path)
  if (path === prefix || path === '/v2') return ping(request.method)
  if (!path.startsWith(prefix)) return routeElsewhere(request, path)
  if (path === '/v2/_catalog') {
    allow(request.method, 'GET', 'HEAD')
    return { kind: 'list-catalog', page: parameters.listPage(new URLSearchParams(request.query)) }
  }
  return routeInRepository(request, path.slice(prefix.length))
}

function routeElsewhere(request: RouteRequest, path: string): Action {
  switch (path) {
    case '/metrics':
      return { kind: 'metrics', head: isHead(request.method) }
    case '/healthz':
      return { kind: 'healthz', head: isHead(request.method) }
    case '/readyz':
      return { kind: 'readyz', head: isHead(request.method) }
    default:
      return routeToken(request, path)
  }
}

function isHead(method: string): boolean {
  allow(method, 'GET', 'HEAD')
  return method === 'HEAD'
}

function routeToken({ method, query }: RouteRequest, path: string): Action {
  if (path === '/token') {
    allow(method, 'GET', 'POST')
    return method === 'POST'
      ? tokenForm
      : {
          kind: 'get-token',
          of: 'query',
          query: parameters.tokenQuery(new URLSearchParams(query)),
        }
  }
  if (path !== '/token/jwks') throw new OciError('ROUTE_UNKNOWN')
  return { kind: 'get-token', of: 'keys', head: isHead(method) }
}

// The last two path components decide, since the name before them may itself contain `blobs` or
// `manifests`. No regex: the path is the client's, and so would be the backtracking.
function routeInRepository(request: RouteRequest, path: string): Action {
  const lastSlash = path.lastIndexOf('/')
  const last = path.slice(lastSlash + 1)
  const before = path.slice(0, Math.max(lastSlash, 0))
  const beforeSlash = before.lastIndexOf('/')
  const noun = before.slice(beforeSlash + 1)
  const name = before.slice(0, Math.max(beforeSlash, 0))

  switch (noun) {
    case 'manifests':
      return routeManifest(request, name, last)
    case 'uploads':
      if (!name.endsWith('/blobs')) break
      return routeUpload(request, name.slice(0, -'/blobs'.length), last)
    case 'blobs':
      // Without its final slash the uploads collection looks like a blob called "uploads".
      return last === 'uploads' ? routeUpload(request, name, '') : routeBlob(request, name, last)
    case 'tags':
      if (last !== 'list') break
      allow(request.method, 'GET', 'HEAD')
      return {
        kind: 'list-tags',
        repository: repositoryName(name),
        page: parameters.listPage(new URLSearchParams(request.query)),
      }
    case 'referrers':
      return routeReferrers(request, name, last)
  }
  throw new OciError('ROUTE_UNKNOWN')
}

function ping(method: string): Action {
  return { kind: 'get-api-version', head: isHead(method) }
}

function routeManifest(request: RouteRequest, name: string, text: string): Action {
  allow(request.method, 'GET', 'HEAD', 'PUT', 'DELETE')
  const repository = repositoryName(name)
  const reference = manifestReference(request.method, text)
  switch (request.method) {
    case 'PUT':
      return { kind: 'put-manifest', repository, reference, tags: pushedTags(request, reference) }
    case 'DELETE':
      return { kind: 'delete-manifest', repository, reference }
    default:
      return { kind: 'get-manifest', repository, reference, head: request.method === 'HEAD' }
  }
}

// A tag that cannot exist is unknown when it is asked for, and invalid when it is pushed.
function manifestReference(method: string, text: string): Reference {
  const reference = parseReference(text)
  if (reference !== undefined) return reference
  if (looksLikeDigest(text)) throw digestInvalid(text)
  throw method === 'PUT' ? parameters.tagInvalid(text) : new OciError('MANIFEST_UNKNOWN')
}

// `?tag=` is defined for pushes by digest. With a tag in the path it would be ambiguous, so they add up.
function pushedTags(request: RouteRequest, reference: Reference) {
  const named =
    request.query === '' ? [] : parameters.tagParameters(new URLSearchParams(request.query))
  return reference.kind === 'tag' ? [...new Set([reference.tag, ...named])] : named
}

function routeBlob(request: RouteRequest, name: string, text: string): Action {
  allow(request.method, 'GET', 'HEAD', 'DELETE')
  const repository = repositoryName(name)
  const digest = parseDigest(text)
  if (digest === undefined) throw digestInvalid(text)
  return request.method === 'DELETE'
    ? { kind: 'delete-blob', repository, digest }
    : { kind: 'get-blob', repository, digest, head: request.method === 'HEAD' }
}

function routeReferrers(request: RouteRequest, name: string, text: string): Action {
  allow(request.method, 'GET', 'HEAD')
  const repository = repositoryName(name)
  const digest = parseDigest(text)
  if (digest === undefined) throw digestInvalid(text)
  const query = new URLSearchParams(request.query)
  const artifactType = query.get('artifactType')
  return {
    kind: 'get-referrers',
    repository,
    digest,
    ...(artifactType === null || artifactType === '' ? {} : { artifactType }),
    page: parameters.listPage(query),
  }
}

function routeUpload(request: RouteRequest, name: string, text: string): Action {
  return text === '' ? routeUploads(request, name) : routeSession(request, name, text)
}

function routeUploads(request: RouteRequest, name: string): Action {
  allow(request.method, 'POST')
  const repository = repositoryName(name)
  const query = new URLSearchParams(request.query)
  const algorithm = parameters.algorithmParameter(query)
  const mount = parameters.digestParameter(query, 'mount')
  if (mount !== undefined) {
    const from = parameters.fromParameter(query)
    return {
      kind: 'mount-blob',
      repository,
      digest: mount,
      ...(from === undefined ? {} : { from }),
      algorithm,
    }
  }
  const digest = parameters.digestParameter(query, 'digest')
  return {
    kind: 'start-upload',
    repository,
    algorithm,
    ...(digest === undefined ? {} : { digest }),
  }
}

function routeSession(request: RouteRequest, name: string, text: string): Action {
  allow(request.method, 'GET', 'HEAD', 'PATCH', 'PUT', 'DELETE')
  const repository = repositoryName(name)
  const upload = parseUploadId(text)
  if (upload === undefined) throw new OciError('BLOB_UPLOAD_UNKNOWN')
  switch (request.method) {
    case 'PATCH':
      return { kind: 'update-upload', repository, upload }
    case 'DELETE':
      return { kind: 'cancel-upload', repository, upload }
    case 'PUT': {
      const digest = parameters.digestParameter(new URLSearchParams(request.query), 'digest')
      if (digest === undefined) {
        throw new OciError('DIGEST_INVALID', { message: 'closing an upload needs ?digest=' })
      }
      return { kind: 'complete-upload', repository, upload, digest }
    }
    default:
      return { kind: 'get-upload', repository, upload, head: request.method === 'HEAD' }
  }
}

function repositoryName(text: string): RepositoryName {
  const name = parseRepositoryName(text)
  if (name === undefined) throw parameters.nameInvalid(text)
  return name
}

function digestInvalid(text: string): OciError {
  return new OciError('DIGEST_INVALID', {
    message: 'a digest is sha256:<64 hex> or sha512:<128 hex>, in lower case',
    detail: { digest: text.slice(0, 160) },
  })
}

function allow(method: string, ...methods: readonly string[]): void {
  if (methods.includes(method)) return
  throw new OciError('UNSUPPORTED', {
    message: 'the method is not supported here',
    headers: [['Allow', methods.join(', ')]],
  })
}

// Some clients escape the colon of a digest. Only escapes of characters that can stand in a name,
// tag or digest are undone, so that `%2f` and `%00` never become path syntax.
function decodePath(path: string): string {
  if (!path.includes('%')) return path
  return path.replaceAll(/%([0-9a-fA-F]{2})/g, (sequence, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16))
    return /[A-Za-z0-9._:-]/.test(character) ? character : sequence
  })
}
