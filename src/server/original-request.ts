// The request to another registry, as a proxy tells it → Action; or a refusal where that registry might
// read it in another way than the policies do.

import { OciError } from '../oci/error.ts'
import type { Action } from '../route/action.ts'
import type { RouteRequest } from '../route/route.ts'

/** As the proxy tells it, undecoded. */
export interface OriginalRequest extends RouteRequest {
  /** Of every line. */
  readonly contentTypes: readonly string[]
}

// A path of the distribution specification needs nothing else; `%3A` is the colon of a digest. That no
// component is empty or dots alone follows from the grammar of names and references.
const plainPath = /^\/v2(?:\/(?:[A-Za-z0-9._:-]|%3[Aa])*)*$/
// RFC 3986, less `;`, which some take for `&`.
const plainQuery = /^(?:[A-Za-z0-9._~:@/?!$'()*+,=&-]|%[0-9A-Fa-f]{2})*$/
const plainParameter = /^[A-Za-z0-9._-]+$/
const knownParameters = ['mount', 'from', 'digest', 'digest-algorithm', 'tag', 'n', 'last']
const knownByFold = new Map(
  [...knownParameters, 'artifactType'].map((name) => [name.toLowerCase(), name]),
)
const formType = /x-www-form-urlencoded|multipart\/form-data/i

/**
 * `route`: as that of src/route/route.ts, perhaps with a memory.
 * Errors: OciError DENIED (403) for whatever is not one request of the distribution specification in its
 * plain form, since of refusals a proxy understands 401 and 403 alone.
 * Source: test/server/original-request.test.ts.
 */
export function originalAction(
  request: OriginalRequest,
  route: (request: RouteRequest) => Action,
): Action {
  const { method, path, query, contentTypes } = request
  if (!plainPath.test(path)) throw unclear('the path')
  if (!isPlainQuery(query)) throw unclear('the query')
  // Go's FormValue prefers the fields of such a body: with `mount` and `from` in it, Distribution copies
  // a blob from a repository that nobody was asked about.
  if (contentTypes.some((type) => formType.test(type))) throw unclear('the body, a form,')
  const action = routed({ method, path, query }, route)
  // Some registries look for the blob in all of their repositories.
  if (action.kind === 'mount-blob' && action.from === undefined) {
    throw refusedOriginal('a mount must name the repository that it takes the blob from')
  }
  return action
}

export function refusedOriginal(message: string): OciError {
  return new OciError('DENIED', { message })
}

// Which of two counts, and whether case does, is different in every language.
function isPlainQuery(query: string): boolean {
  if (!plainQuery.test(query)) return false
  const names = [...new URLSearchParams(query).keys()]
  const folded = names.filter((name) => name !== 'tag').map((name) => name.toLowerCase())
  if (new Set(folded).size < folded.length) return false
  return names.every((name) => {
    const known = knownByFold.get(name.toLowerCase())
    return plainParameter.test(name) && (known === undefined || known === name)
  })
}

function routed(request: RouteRequest, route: (request: RouteRequest) => Action): Action {
  try {
    return route(request)
  } catch (error) {
    if (!(error instanceof OciError)) throw error
    throw refusedOriginal(`the original request is refused: ${error.message}`)
  }
}

function unclear(part: string): OciError {
  return refusedOriginal(`${part} of the original request can be read in more than one way`)
}
