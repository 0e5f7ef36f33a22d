// Garbage collection as a job: what is asked of it, and its passes in their order.

import type { Job, JobContext, JobReport } from '../job/contract.ts'
import { countCondemned } from './count-condemned.ts'
import { destroyDropped, finishDestroying, forgetManifests } from './destroy.ts'
import { condemnEnded } from './leases.ts'
import { adoptionObstacle } from './obstacle.ts'
import type { GcInput, GcRun, GcSettings } from './settings.ts'
import { sweepManifests } from './sweep-manifests.ts'
import { Tally } from './tally.ts'

/**
 * Each run goes by what the records say, so that one that was cut short needs nothing to go on but to be run again.
 * `settings` is asked each time. `flushPulls` resolves when the store knows every pull from before.
 */
export function createGcJob(
  settings: () => GcSettings,
  flushPulls: () => Promise<void> = async () => undefined,
): Job<GcInput> {
  return {
    kind: 'gc',
    parse: parseInput,
    rates: () => {
      const { blobsPerSecond, rateBytes } = settings()
      return { itemsPerSecond: blobsPerSecond, bytesPerSecond: rateBytes }
    },
    // Whether a kill has left something to be finished is no matter of time.
    isUntimed: ({ onlyUnfinished }) => onlyUnfinished,
    run: (input, context) => collect({ input, context, settings, flushPulls, tally: new Tally() }),
  }
}

const flags: readonly string[] = ['dryRun', 'onlyUnfinished'] satisfies (keyof GcInput)[]

function parseInput(input: unknown): { readonly input: GcInput } | { readonly error: string } {
  if (typeof input !== 'object' || input === null) return { error: 'expected an object' }
  for (const [name, value] of Object.entries(input)) {
    if (!flags.includes(name)) return { error: `${name} is not known` }
    if (typeof value !== 'boolean') return { error: `${name}: expected true or false` }
  }
  const { dryRun = false, onlyUnfinished = false }: Partial<GcInput> = input
  return { input: { dryRun, onlyUnfinished } }
}

type Pass = (run: GcRun) => Promise<void>

const freeing: readonly Pass[] = [forgetManifests, destroyDropped]

// What frees room comes first, too: on a full disk the others may find none for their records.
const passes: readonly Pass[] = [
  finishDestroying,
  ...freeing,
  condemnEnded,
  sweepManifests,
  ...freeing,
]
// Each but once, so that nothing is counted twice.
const dryPasses: readonly Pass[] = [finishDestroying, condemnEnded, sweepManifests, ...freeing]

function passesOf({ dryRun, onlyUnfinished }: GcInput): readonly Pass[] {
  if (onlyUnfinished) return [finishDestroying]
  return dryRun ? dryPasses : passes
}

async function collect(run: GcRun): Promise<JobReport> {
  const { context, input, tally } = run
  const obstacle = await adoptionObstacle(context.metadata)
  if (obstacle !== undefined) {
    tally.skip(obstacle)
    return reportOf(run, false)
  }
  try {
    for (const pass of passesOf(input)) await pass(run)
    if (!input.dryRun && !input.onlyUnfinished) await countCondemned(run)
  } catch (error) {
    if (!isStopped(error, context)) throw error
    return reportOf(run, true)
  }
  return reportOf(run, false)
}

function reportOf({ context, input, tally }: GcRun, isCut: boolean): JobReport {
  return tally.report({ id: context.run, dryRun: input.dryRun, isCut })
}

function isStopped(error: unknown, { signal }: JobContext): boolean {
  return signal.aborted && error instanceof Error && error.name === 'AbortError'
}
