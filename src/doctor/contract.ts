// What the doctor says. Checks are pure: facts in, findings out.

/**
 * From the best to the worst. `unknown`: it could not be looked at. `advice`: it works, and could work
 * better. `warning`: it will make trouble. `error`: the server does not start, or is not safe.
 */
export const severities = ['ok', 'unknown', 'advice', 'warning', 'error'] as const

export type Severity = (typeof severities)[number]

/** One thing that was looked at. None of its texts holds a secret. */
export interface Finding {
  /** Which check; docs/doctor.md has them all. */
  readonly check: string
  readonly severity: Severity
  /** What was looked at. */
  readonly title: string
  /** What was found. */
  readonly detail: string
  /** Why it matters; '' where all is well. */
  readonly why: string
  /** What to do; '' where there is nothing to do. */
  readonly remedy: string
  /** The shell command that does it; '' where no single one does. */
  readonly command: string
  /** Page and heading that tell more. */
  readonly link: string
}
