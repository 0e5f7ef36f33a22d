// Everything that a run of record logic wants to know, in one statement and one round trip.

import type { ClientBase, Pool, QueryConfig } from 'pg'
import type { KeyValueEntry } from '../kv/contract.ts'
import type { Fetched, Wanted, WantedRange } from './known.ts'

// Of its shape: a server keeps each prepared statement for as long as the connection lives.
const preparedRangesMax = 8

interface Row {
  readonly part: number
  readonly key: string
  readonly value: string | null
  readonly body: Uint8Array | null
  readonly length: number | null
}

const [recordPart, bodyPart, lengthPart, firstRangePart] = [0, 1, 2, 3] as const

// A server parses a union by recursion, and its stack has an end.
const rangesPerStatement = 64

/** Errors: those of the driver. */
export async function fetchWanted(client: ClientBase | Pool, wanted: Wanted): Promise<Fetched> {
  const { ranges } = wanted
  const fetched = await fetchPart(client, {
    ...wanted,
    ranges: ranges.slice(0, rangesPerStatement),
  })
  const all = [...fetched.ranges]
  for (let from = rangesPerStatement; from < ranges.length; from += rangesPerStatement) {
    const part = ranges.slice(from, from + rangesPerStatement)
    all.push(...(await fetchPart(client, { ...nothing, ranges: part })).ranges)
  }
  return { ...fetched, ranges: all }
}

const nothing: Wanted = { records: [], bodies: [], lengths: [], ranges: [] }

async function fetchPart(client: ClientBase | Pool, wanted: Wanted): Promise<Fetched> {
  const { rows } = await client.query<Row>(statementOf(wanted))
  const records = new Map<string, string>()
  const bodies = new Map<string, Uint8Array>()
  const lengths = new Map<string, number>()
  const ranges: KeyValueEntry[][] = wanted.ranges.map(() => [])
  for (const { part, key, value, body, length } of rows) {
    if (part === recordPart) records.set(key, value ?? '')
    else if (part === bodyPart) bodies.set(key, body ?? new Uint8Array())
    else if (part === lengthPart) lengths.set(key, length ?? 0)
    else ranges[part - firstRangePart]?.push({ key, value: value ?? '' })
  }
  for (const [index, range] of wanted.ranges.entries()) sortAs(range, ranges[index] ?? [])
  return {
    records: wanted.records.map((key) => records.get(key)),
    bodies: wanted.bodies.map((key) => bodies.get(key)),
    lengths: wanted.lengths.map((key) => lengths.get(key)),
    ranges,
  }
}

function statementOf({ records, bodies, lengths, ranges }: Wanted): QueryConfig {
  const parts: string[] = []
  const values: unknown[] = []
  const bind = (value: unknown): string => `$${values.push(value)}`
  if (records.length > 0) {
    const keys = bind(records)
    parts.push(
      `SELECT ${recordPart} AS part, key, value, NULL::bytea AS body, NULL::int AS length ` +
        `FROM keelson_records WHERE key = ANY(${keys}::text[])`,
    )
  }
  if (bodies.length > 0) {
    const keys = bind(bodies)
    parts.push(
      `SELECT ${bodyPart} AS part, key, NULL::text AS value, body, NULL::int AS length ` +
        `FROM keelson_bodies WHERE key = ANY(${keys}::text[])`,
    )
  }
  if (lengths.length > 0) {
    const keys = bind(lengths)
    parts.push(
      `SELECT ${lengthPart} AS part, key, NULL::text AS value, NULL::bytea AS body, ` +
        `length(body)::int AS length FROM keelson_bodies WHERE key = ANY(${keys}::text[])`,
    )
  }
  for (const [index, range] of ranges.entries()) {
    const { start, end, limit, reverse = false, of } = range
    const [first, last] = [bind(start), bind(end)]
    const bound =
      limit === undefined || !Number.isFinite(limit) ? '' : ` LIMIT ${bind(limit)}::bigint`
    parts.push(
      `(SELECT ${firstRangePart + index} AS part, key, ${of === 'entries' ? 'value' : 'NULL::text AS value'}, ` +
        `NULL::bytea AS body, NULL::int AS length FROM ${of === 'bodyKeys' ? 'keelson_bodies' : 'keelson_records'} ` +
        `WHERE key >= ${first} AND key < ${last} ORDER BY key${reverse ? ' DESC' : ''}${bound})`,
    )
  }
  const text = parts.join(' UNION ALL ')
  return ranges.length > preparedRangesMax ? { text, values } : { text, values, name: nameOf(text) }
}

const names = new Map<string, string>()

function nameOf(text: string): string {
  const known = names.get(text)
  if (known !== undefined) return known
  const name = `keelson${names.size}`
  // Shapes are few: which parts, and for each of at most eight ranges its direction, bound and columns.
  if (names.size < 500) names.set(text, name)
  return names.size < 500 ? name : ''
}

/** The parts of a union come in no order that the standard promises. */
function sortAs({ reverse = false }: WantedRange, entries: KeyValueEntry[]): void {
  const sign = reverse ? -1 : 1
  entries.sort((a, b) => (a.key < b.key ? -sign : a.key > b.key ? sign : 0))
}
