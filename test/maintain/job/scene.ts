// Answers for jobs in tests: processes that share a store in memory, each with a runner of its own, and a job
// that does what it is told.

import { type AnyJob, anyJob } from '../../../src/maintain/job/any-job.ts'
import { ClockGuard } from '../../../src/maintain/job/clock-guard.ts'
import type { Job, JobContext, JobDeed, JobReport } from '../../../src/maintain/job/contract.ts'
import { JobRunner, type RunEvent, type RunnerOptions } from '../../../src/maintain/job/runner.ts'
import type { IngestPool } from '../../../src/offload/contract.ts'
import { MemoryBlobStore } from '../../../src/storage/blob/memory/store.ts'
import type { JobKind, JobRecord } from '../../../src/storage/metadata/job-store.ts'
import { MemoryMetadataStore } from '../../../src/storage/metadata/memory/store.ts'
import type { Logger } from '../../../src/telemetry/log.ts'
import { MaintenanceCounts } from '../../../src/telemetry/maintenance-counts.ts'
import { FakeClock } from './fake-clock.ts'

export const day = 86_400_000

export const fine: JobReport = { ok: true, summary: ['all is well'], details: { seen: 3 } }

/** Runs `run` of the test. Its input has `part`, a text, and nothing else. */
export class ScriptedJob {
  readonly job: AnyJob
  readonly inputs: unknown[] = []
  run: (context: JobContext) => Promise<JobReport> = async () => fine

  constructor(kind: JobKind = 'gc') {
    const job: Job<{ readonly part?: string }> = {
      kind,
      parse: (input) => {
        const { part, ...others } = input as { part?: string }
        if (Object.keys(others).length > 0)
          return { error: `${kind} has no ${Object.keys(others)}` }
        return { input: part === undefined ? {} : { part } }
      },
      rates: () => ({ itemsPerSecond: 0, bytesPerSecond: 0 }),
      run: (input, context) => {
        this.inputs.push(input)
        return this.run(context)
      },
    }
    this.job = anyJob(job)
  }
}

/** Ends when it is asked to stop, and not before. */
export async function untilStopped({ signal }: JobContext): Promise<JobReport> {
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
  throw signal.reason
}

export interface LogLine {
  readonly level: string
  readonly message: string
}

export class Process {
  readonly runner: JobRunner
  readonly counts: MaintenanceCounts = new MaintenanceCounts()
  readonly deeds: JobDeed[] = []
  readonly runs: RunEvent[] = []
  readonly log: LogLine[] = []

  constructor(host: Host, name: string, options: Partial<RunnerOptions> = {}) {
    const tell =
      (level: string) =>
      (_fields: object, message: string): void => {
        this.log.push({ level, message })
      }
    const log = { info: tell('info'), warn: tell('warn'), error: tell('error') }
    let ids = 0
    this.runner = new JobRunner({
      parts: {
        metadata: host.metadata,
        blobs: new MemoryBlobStore(),
        // No job of these tests hashes anything.
        ingest: {} as IngestPool,
        changing: (write) => write(),
        forgetBytes: () => {},
        shared: true,
        liveness: {
          owner: () => name,
          isAlive: (owner) => !host.dead.has(owner),
          canTell: (owner) => !host.hidden.has(owner),
          problem: (owner) => (host.lapsed.has(owner) ? 'its lease has ended' : undefined),
        },
        now: host.clock.now,
        randomUuid: () => {
          ids += 1
          return `${name}-${ids}`
        },
        log: log as unknown as Logger,
      },
      jobs: host.jobs.map(({ job }) => job),
      clock: host.clock,
      guard: new ClockGuard({ clock: host.clock, bootId: 'boot', settleMs: () => day }),
      load: () => 0,
      hasRoom: () => true,
      onDeed: (_kind, _run, deed) => this.deeds.push(deed),
      onRun: (event) => this.runs.push(event),
      counts: this.counts,
      ...options,
    })
  }
}

/** What all processes share. */
export class Host {
  readonly clock: FakeClock = new FakeClock()
  readonly metadata: MemoryMetadataStore = new MemoryMetadataStore()
  readonly jobs: readonly ScriptedJob[]
  readonly dead: Set<string> = new Set<string>()
  /** They live, and hold no lease any more. */
  readonly lapsed: Set<string> = new Set<string>()
  /** Nobody sees whether they live. */
  readonly hidden: Set<string> = new Set<string>()

  constructor(...jobs: readonly ScriptedJob[]) {
    this.jobs = jobs
  }

  process(name: string, options?: Partial<RunnerOptions>): Process {
    return new Process(this, name, options)
  }

  /** It goes on with whatever it does, as a process that is killed does not; its record stays. */
  kill(name: string): void {
    this.dead.add(name)
  }
}

export type Started = Extract<Awaited<ReturnType<JobRunner['start']>>, { readonly kind: 'started' }>

/** A run of gc that must begin. */
export async function started(
  { runner }: Pick<Process, 'runner'>,
  input: object = {},
): Promise<Started> {
  const answer = await runner.start('gc', input)
  if (answer.kind !== 'started') throw new Error(answer.error)
  return answer
}

/** That of gc, which must be there. */
export function recordOf(host: Host): JobRecord {
  const found = host.metadata.readJob('gc')
  if (found === undefined) throw new Error('gc never ran')
  return found
}
