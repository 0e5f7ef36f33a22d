// What a line of the audit log is made of, and how long a text in it may be.

/** What a record tells of; docs/audit.md has the fields of each. */
export type AuditKind =
  | 'decision'
  | 'login'
  | 'token'
  | 'admin'
  | 'config'
  | 'maintenance'
  | 'server'

/** The fields of a record after `time`, `seq` and `kind`, by names that stay; at least one. */
export type RecordBody = Readonly<Record<string, unknown>>

/** A record that is not a line yet. */
export interface WaitingRecord {
  readonly kind: AuditKind
  /** Wall clock, in ms since the epoch. */
  readonly timeMs: number
  /** Called once, after the request that it tells of may be over. */
  readonly body: () => RecordBody
}

const lengthMax = 1024
const itemsMax = 64

/** At most 1,024 characters of the text; one that was longer says by how much. */
export function bounded(text: string): string {
  if (text.length <= lengthMax) return text
  return `${text.slice(0, lengthMax)}…[+${text.length - lengthMax}]`
}

export function boundedOrNull(text: string | null | undefined): string | null {
  return text === null || text === undefined ? null : bounded(text)
}

/** At most 64 texts, each bounded; a list that was longer ends in how many more there were. */
export function boundedList(texts: readonly string[]): readonly string[] {
  if (texts.length <= itemsMax) return texts.map(bounded)
  return [...texts.slice(0, itemsMax).map(bounded), `…[+${texts.length - itemsMax}]`]
}
