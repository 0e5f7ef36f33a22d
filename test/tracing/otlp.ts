// Answers for what a collector was sent: the JSON form of OTLP, read by its definition and nothing else.
import assert from 'node:assert/strict'

/** One span, with its attributes by name. */
export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly kind: number
  readonly startNano: bigint
  readonly endNano: bigint
  readonly attributes: Readonly<Record<string, string | number>>
  readonly statusCode: number
}

type Json = Readonly<Record<string, unknown>>

/** Source: opentelemetry-proto, ExportTraceServiceRequest; "JSON Protobuf Encoding" of OTLP. */
export function readTraces(body: string): {
  readonly resource: Readonly<Record<string, string | number>>
  readonly spans: readonly ReceivedSpan[]
} {
  const { resourceSpans } = JSON.parse(body) as { readonly resourceSpans: readonly Json[] }
  assert.equal(resourceSpans.length, 1)
  const { resource, scopeSpans } = resourceSpans[0] as {
    readonly resource: Json
    readonly scopeSpans: readonly Json[]
  }
  const spans = scopeSpans.flatMap(({ scope, spans: list }) => {
    assert.equal((scope as Json)['name'], 'keelson')
    return (list as readonly Json[]).map(readSpan)
  })
  return { resource: attributesOf(resource['attributes']), spans }
}

function readSpan(span: Json): ReceivedSpan {
  const { traceId, spanId, parentSpanId, name, kind, status } = span
  assert.match(String(traceId), /^[\da-f]{32}$/)
  assert.match(String(spanId), /^[\da-f]{16}$/)
  if (parentSpanId !== undefined) assert.match(String(parentSpanId), /^[\da-f]{16}$/)
  for (const key of ['startTimeUnixNano', 'endTimeUnixNano']) {
    assert.match(String(span[key]), /^\d{19}$/)
    assert.equal(typeof span[key], 'string', '64-bit numbers are texts')
  }
  return {
    traceId: String(traceId),
    spanId: String(spanId),
    parentSpanId: parentSpanId === undefined ? undefined : String(parentSpanId),
    name: String(name),
    kind: Number(kind),
    startNano: BigInt(String(span['startTimeUnixNano'])),
    endNano: BigInt(String(span['endTimeUnixNano'])),
    attributes: attributesOf(span['attributes']),
    statusCode: Number((status as Json | undefined)?.['code'] ?? 0),
  }
}

function attributesOf(list: unknown): Readonly<Record<string, string | number>> {
  const entries = (list as readonly Json[]).map(({ key, value }) => {
    const [kind = '', held] = Object.entries(value as Json)[0] ?? []
    assert.match(kind, /^(?:stringValue|intValue)$/)
    assert.equal(typeof held, 'string')
    return [String(key), kind === 'intValue' ? Number(held) : String(held)] as const
  })
  assert.equal(
    new Set(entries.map(([key]) => key)).size,
    entries.length,
    'an attribute comes twice',
  )
  return Object.fromEntries(entries)
}
