// How the steps of a decision are printed, for the commands that explain one.

/** A policy that was asked, as `policy test` works it out or the server remembers it. */
export interface ShownPolicy {
  /** `global` or the repository prefix. */
  readonly policy: string
  readonly default: string
  readonly allowed: boolean
  readonly rules: readonly ShownRule[]
}

export interface ShownRule {
  readonly text: string
  /** Where it stands, such as `line 3`. */
  readonly place: string
  readonly outcome: string
  readonly error: string | null | undefined
  readonly decides: boolean
}

export interface ShownAction {
  readonly action: string
  readonly repository: string | null | undefined
  /** A tag or a digest. */
  readonly reference: string | undefined
}

export function describeAction({ action, repository, reference }: ShownAction): string {
  return [action, repository, reference].filter((part) => typeof part === 'string').join(' ')
}

/** With its rules, each on a line, and a newline at its end. */
export function shownStep(step: ShownPolicy): string {
  const rules = step.rules.map((rule) => shownRule(rule, step))
  const isDefault = !step.rules.some(({ decides }) => decides)
  const last = isDefault ? `  no rule holds: ${verdict(step)} by default\n` : ''
  return `${policyName(step.policy)}, default ${step.default}\n${rules.join('')}${last}`
}

export function policyName(policy: string): string {
  return policy === 'global' ? 'global policy' : `policy of repository "${policy}"`
}

export function retentionName(policy: string): string {
  return policy === 'global'
    ? 'global retention policy'
    : `retention policy of repository "${policy}"`
}

function shownRule({ text, place, outcome, error, decides }: ShownRule, step: ShownPolicy): string {
  const mark = decides ? `  ← decides: ${verdict(step)}` : ''
  const oneLine = text.trim().replaceAll(/\s*\n\s*/g, ' ')
  const line = `  ${outcome.padEnd(9)}  ${place}: ${oneLine}${mark}\n`
  return typeof error === 'string' ? `${line}             ${error}\n` : line
}

function verdict({ allowed }: ShownPolicy): string {
  return allowed ? 'allowed' : 'denied'
}
