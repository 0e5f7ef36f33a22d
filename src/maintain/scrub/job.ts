// Scrub as a job: what is asked of it, and its passes in their order.

import type { Digest } from '../../oci/digest.ts'
import type { Job, JobContext, JobReport } from '../job/contract.ts'
import { scrubBlobs } from './blobs.ts'
import { Healer } from './heal.ts'
import type { PeerSource } from './peer.ts'
import { PlainBlobAudit } from './plain-audit.ts'
import { auditRecords } from './records.ts'
import { isAdopted, type Place, type ScrubInput, type ScrubRun, tell, Unread } from './run.ts'
import { Tally, type TallyState } from './tally.ts'

export interface ScrubSettings {
  /** Most that is read in a second; 0: as much as it can. */
  readonly rateBytes: number
  /** Of leases that it gives. */
  readonly graceMs: number
  /** Where it looks for what is broken here, in their order. */
  readonly peers: readonly PeerSource[]
}

const flags: readonly string[] = ['dryRun', 'quick'] satisfies (keyof ScrubInput)[]
const version = 1
// Between two places that are remembered; findings are at once.
const recordsPerSave = 20_000
const blobsPerSave = 500
const bytesPerSave = 256 << 20

/** `settings` is asked each time. */
export function createScrubJob(settings: () => ScrubSettings): Job<ScrubInput> {
  return {
    kind: 'scrub',
    parse: parseInput,
    rates: () => ({ itemsPerSecond: 0, bytesPerSecond: settings().rateBytes }),
    run: (input, context) => scrub(input, context, settings),
  }
}

function parseInput(input: unknown): { readonly input: ScrubInput } | { readonly error: string } {
  if (typeof input !== 'object' || input === null) return { error: 'expected an object' }
  for (const [name, value] of Object.entries(input)) {
    if (!flags.includes(name)) return { error: `${name} is not known` }
    if (typeof value !== 'boolean') return { error: `${name}: expected true or false` }
  }
  const { dryRun = false, quick = false }: Partial<ScrubInput> = input
  return { input: { dryRun, quick } }
}

async function scrub(
  input: ScrubInput,
  context: JobContext,
  settings: () => ScrubSettings,
): Promise<JobReport> {
  const resumed = readCheckpoint(context.resumed, input)
  const tally = new Tally(resumed?.tally)
  const audit = context.metadata.openAudit()
  const unread = new Unread(resumed?.unread)
  const graceMs = (): number => settings().graceMs
  const run: ScrubRun = {
    ...{ input, context, audit, tally, unread, graceMs },
    isAdopted: () => isAdopted(context),
    files: context.blobs.audit ?? new PlainBlobAudit(context.blobs),
    memory: { held: new Set(), rebuilt: new Set() },
    healer: new Healer({ context, audit, graceMs, peers: () => settings().peers }),
    ...saver(input, context, { tally, unread }),
  }
  let isCut = false
  try {
    await runPasses(run, resumed?.place ?? { pass: 'records' })
  } catch (error) {
    if (!isStopped(error, context)) throw error
    isCut = true
    await run.saveLast()
  } finally {
    await run.healer.close()
  }
  const notes = (await run.isAdopted())
    ? ['the tree of another registry: no file of it is moved']
    : []
  return tally.report({ ...input, isCut, notes, peerProblems: run.healer.problems })
}

async function runPasses(run: ScrubRun, { pass, at }: Place): Promise<void> {
  if (pass === 'records') {
    await auditRecords(run, at)
    await run.save({ pass: 'blobs' }, true)
  }
  if (pass !== 'usage') {
    await scrubBlobs(run, pass === 'blobs' ? at : undefined)
    await run.save({ pass: 'usage' }, true)
  }
  await auditUsage(run)
}

async function auditUsage(run: ScrubRun): Promise<void> {
  const { audit, context, input } = run
  const tick = (records: number): Promise<void> => context.pace({ items: records, bytes: 0 })
  context.progress({ phase: 'comparing counters', done: 0 })
  const faults = await audit.auditUsage({ repair: !input.dryRun, tick })
  for (const { prefix, counted, actual } of faults) {
    const is = `${counted.bytes} bytes, ${counted.tags} tags`
    const reason = `counted ${is}; stored are ${actual.bytes} bytes, ${actual.tags} tags`
    const kind = 'usage-wrong'
    tell(run, { kind, what: prefix, reason }, input.dryRun ? 'found' : 'repaired')
    if (!input.dryRun) context.record({ deed: 'repair-record', reason: `${kind}: ${prefix}` })
  }
}

interface Checkpoint {
  readonly version: typeof version
  readonly input: ScrubInput
  readonly place: Place
  readonly tally: TallyState
  /** As `Unread`; absent from earlier builds. */
  readonly unread?: readonly Digest[]
}

function saver(
  input: ScrubInput,
  { checkpoint }: JobContext,
  { tally, unread }: Pick<ScrubRun, 'tally' | 'unread'>,
): Pick<ScrubRun, 'save' | 'saveLast'> {
  let saved = { records: tally.records, blobs: tally.blobs, bytes: tally.bytes }
  let last: Place | undefined
  const save: ScrubRun['save'] = async (place, isNow) => {
    last = place
    const isDue =
      isNow ||
      tally.records - saved.records >= recordsPerSave ||
      tally.blobs - saved.blobs >= blobsPerSave ||
      tally.bytes - saved.bytes >= bytesPerSave
    if (!isDue) return
    saved = { records: tally.records, blobs: tally.blobs, bytes: tally.bytes }
    const { state } = tally
    const value: Checkpoint = { version, input, place, tally: state, unread: unread.digests }
    await checkpoint(value)
  }
  return { save, saveLast: async () => (last === undefined ? undefined : save(last, true)) }
}

/** Undefined where it is of another input, or of another build. */
function readCheckpoint(value: unknown, input: ScrubInput): Checkpoint | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const found = value as Partial<Checkpoint>
  const isOurs = found.version === version && found.place !== undefined && found.tally !== undefined
  const isSame = found.input?.dryRun === input.dryRun && found.input.quick === input.quick
  return isOurs && isSame ? (found as Checkpoint) : undefined
}

function isStopped(error: unknown, { signal }: JobContext): boolean {
  return signal.aborted && (error === signal.reason || isAbort(error))
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}
