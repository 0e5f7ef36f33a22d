// What is wrong with a configuration: every problem at once, each with its place.

export interface ConfigProblem {
  readonly file: string
  /** Counted from 1; where a key is missing, the line of its table. */
  readonly line: number
  /** The dotted name of the key or table, empty where a whole file is meant. */
  readonly key: string
  readonly message: string
}

function describeProblem(problem: ConfigProblem): string {
  const key = problem.key === '' ? '' : `${problem.key}: `
  return `${problem.file}:${problem.line}: ${key}${problem.message}`
}

/** A configuration that was refused. Its message lists every problem, one a line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(describeProblem).join('\n'))
    this.problems = problems
  }
}
