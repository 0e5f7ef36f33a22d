// Makes findings of a table of checks: a check can say nothing worse than its row has a rule for.
import type { Finding, Severity } from './contract.ts'

/** The row of a check; docs/doctor.md is written from it. */
export interface CheckRow {
  readonly title: string
  /** Why it matters, as a sentence. */
  readonly why: string
  /** A page of this repository, with the anchor of a heading. */
  readonly link: string
  /** When it is an error, a warning, an advice; absent: it never is. */
  readonly error?: string
  readonly warning?: string
  readonly advice?: string
  /** It is also looked at when the server starts. */
  readonly atStart?: true
}

export type CheckRows = Readonly<Record<string, CheckRow>>

/** What to do about it. */
export interface Fix {
  readonly remedy: string
  readonly command?: string
}

type Bad = 'advice' | 'warning' | 'error'

/** The checks that have a rule for this severity. */
export type CheckWith<Rows, Level extends Bad> = {
  [Id in keyof Rows]: Level extends keyof Rows[Id] ? Id : never
}[keyof Rows] &
  string

/** `about`: which of several, behind the title. */
export interface Sayings<Rows> {
  ok(check: keyof Rows & string, detail: string, about?: string): Finding
  unknown(check: keyof Rows & string, detail: string, about?: string): Finding
  advice(check: CheckWith<Rows, 'advice'>, detail: string, fix: Fix, about?: string): Finding
  warning(check: CheckWith<Rows, 'warning'>, detail: string, fix: Fix, about?: string): Finding
  error(check: CheckWith<Rows, 'error'>, detail: string, fix: Fix, about?: string): Finding
}

export function sayingsOf<Rows extends CheckRows>(rows: Rows): Sayings<Rows> {
  const say = (
    check: string,
    severity: Severity,
    detail: string,
    { remedy, command = '' }: Fix,
    about = '',
  ): Finding => {
    const row = rows[check]
    const title = `${row?.title ?? check}${about === '' ? '' : ` ${about}`}`
    const why = severity === 'ok' ? '' : (row?.why ?? '')
    return { check, severity, title, detail, why, remedy, command, link: row?.link ?? '' }
  }
  const nothing: Fix = { remedy: '' }
  return {
    ok: (check, detail, about) => say(check, 'ok', detail, nothing, about),
    unknown: (check, detail, about) => say(check, 'unknown', detail, nothing, about),
    advice: (check, detail, fix, about) => say(check, 'advice', detail, fix, about),
    warning: (check, detail, fix, about) => say(check, 'warning', detail, fix, about),
    error: (check, detail, fix, about) => say(check, 'error', detail, fix, about),
  }
}
