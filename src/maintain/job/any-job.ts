// A job of whatever input, so that all of them stand in one table.

import type { JobKind } from '../../storage/metadata/job-store.ts'
import type { Job, JobContext, JobRates, JobReport } from './contract.ts'

/** A job that knows what it is to do. */
export interface PreparedJob {
  /** As the job has understood it. */
  readonly input: unknown
  /** Asked each time: a reload may change them. */
  readonly rates: () => JobRates
  readonly isUntimed: boolean
  run(context: JobContext): Promise<JobReport>
}

export interface AnyJob {
  readonly kind: JobKind
  prepare(input: unknown): PreparedJob | { readonly error: string }
}

export function anyJob<Input>(job: Job<Input>): AnyJob {
  return {
    kind: job.kind,
    prepare: (value) => {
      const parsed = job.parse(value)
      if ('error' in parsed) return parsed
      const { input } = parsed
      return {
        input,
        rates: () => job.rates(input),
        isUntimed: job.isUntimed?.(input) ?? false,
        run: (context) => job.run(input, context),
      }
    },
  }
}
