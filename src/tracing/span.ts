// One request as a span of OTLP. Names and attributes: OpenTelemetry semantic conventions for HTTP spans 1.27.

import type { RecordedAction, RequestRecord } from '../telemetry/request-record.ts'
import type { TraceContext } from './context.ts'
import type { TraceMask } from './contract.ts'

type Value = { readonly stringValue: string } | { readonly intValue: string }

interface Attribute {
  readonly key: string
  readonly value: Value
}

/** As the JSON form of OTLP has it: 64-bit numbers are texts. */
export interface Span {
  readonly traceId: string
  readonly spanId: string
  /** Left out of the JSON where it is undefined. */
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly Attribute[]
  readonly status: { readonly code?: number }
}

// Source: opentelemetry-proto trace/v1/trace.proto, SpanKind and Status.StatusCode.
const serverKind = 2
const errorCode = 2

const knownMethods: ReadonlySet<string> = new Set(
  'GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE'.split(' '),
)

const session = '/v2/{name}/blobs/uploads/{session}'
const manifest = '/v2/{name}/manifests/{reference}'
const routes: Readonly<Record<string, string>> = {
  'get-api-version': '/v2/',
  'get-token': '/token',
  metrics: '/metrics',
  healthz: '/healthz',
  readyz: '/readyz',
  'list-catalog': '/v2/_catalog',
  'list-tags': '/v2/{name}/tags/list',
  'get-referrers': '/v2/{name}/referrers/{digest}',
  'get-manifest': manifest,
  'put-manifest': manifest,
  'delete-manifest': manifest,
  'get-blob': '/v2/{name}/blobs/{digest}',
  'delete-blob': '/v2/{name}/blobs/{digest}',
  'start-upload': '/v2/{name}/blobs/uploads/',
  'mount-blob': '/v2/{name}/blobs/uploads/',
  'get-upload': session,
  'update-upload': session,
  'complete-upload': session,
  'cancel-upload': session,
}

/** `endedAtMs`: wall clock. The user's name is never in it; what `mask` names is not either. */
export function spanOf(
  record: RequestRecord,
  context: TraceContext,
  mask: TraceMask,
  endedAtMs: number,
): Span {
  const { method, action, status, durationMs = 0, aborted } = record
  const { traceId, spanId, parentSpanId } = context
  const known = knownMethods.has(method) ? method : '_OTHER'
  const route = action === undefined || record.isForwarded ? undefined : routes[action.kind]
  const verb = known === '_OTHER' ? 'HTTP' : known
  // A client that leaves is no fault of the server.
  const isError = status >= 500
  const attributes: Attribute[] = []
  number(attributes, 'http.response.status_code', status)
  number(attributes, 'http.request.body.size', record.bytesIn)
  number(attributes, 'http.response.body.size', record.bytesOut)
  text(attributes, 'http.request.method', known)
  if (known !== method) text(attributes, 'http.request.method_original', method)
  text(attributes, 'http.route', route)
  text(attributes, 'url.scheme', schemeOf(record))
  if (!mask.has('repository') && !mask.has('reference')) text(attributes, 'url.path', record.path)
  if (!mask.has('address')) text(attributes, 'client.address', record.address)
  if (!mask.has('user_agent')) text(attributes, 'user_agent.original', record.userAgent)
  if (isError) text(attributes, 'error.type', String(status))
  text(attributes, 'keelson.action', record.isForwarded ? 'forward-auth' : action?.kind)
  if (action !== undefined) target(attributes, action, mask)
  text(attributes, 'keelson.auth_method', record.identity?.authMethod)
  text(attributes, 'keelson.request_id', record.requestId)
  text(attributes, 'keelson.decision_id', record.decisionId)
  if (aborted) text(attributes, 'keelson.aborted', 'true')
  return {
    traceId,
    spanId,
    parentSpanId,
    name: route === undefined ? verb : `${verb} ${route}`,
    kind: serverKind,
    startTimeUnixNano: nanoseconds(endedAtMs - durationMs),
    endTimeUnixNano: nanoseconds(endedAtMs),
    attributes,
    status: isError ? { code: errorCode } : {},
  }
}

function schemeOf({ isSecure }: RequestRecord): string | undefined {
  if (isSecure === undefined) return undefined
  return isSecure ? 'https' : 'http'
}

function target(attributes: Attribute[], action: RecordedAction, mask: TraceMask): void {
  const { repository, reference, digest } = action
  if (!mask.has('repository')) text(attributes, 'keelson.repository', repository)
  if (mask.has('reference')) return
  if (reference?.kind === 'tag') text(attributes, 'keelson.tag', reference.tag)
  text(attributes, 'keelson.digest', reference?.kind === 'digest' ? reference.digest : digest)
}

// What clients send is as long as they like.
const textLengthMax = 1024

function text(attributes: Attribute[], key: string, value: string | undefined): void {
  if (value === undefined || value === '') return
  const stringValue = value.length > textLengthMax ? value.slice(0, textLengthMax) : value
  attributes.push({ key, value: { stringValue } })
}

function number(attributes: Attribute[], key: string, value: number): void {
  attributes.push({ key, value: { intValue: String(value) } })
}

// A double has microseconds of today, and no more.
function nanoseconds(wallMs: number): string {
  return `${Math.round(wallMs * 1000)}000`
}
