// The job that moves a registry to other stores, of which `keelson migrate` is the command.
//
// Method: the source takes no writes from the begin on; its records go to the target, then its blobs; both stores
// are read again and compared; only then may anybody open the target.

import { isAbsolute } from 'node:path'
import type { RestoreTimes } from '../../storage/metadata/dump.ts'
import type { JobKind } from '../../storage/metadata/job-store.ts'
import { counted, roughSize } from '../../telemetry/rough-units.ts'
import type { Job, JobContext, JobRates, JobReport } from '../job/contract.ts'
import { compareRows } from './compare.ts'
import {
  MigrateError,
  type MigrateInput,
  type MigrationStores,
  type MigrationTarget,
} from './contract.ts'
import { moveBlobs } from './move-blobs.ts'

const otherKinds: readonly JobKind[] = [
  ...(['backup', 'export', 'gc', 'import', 'prune', 'rewrap', 'scrub'] as const),
]
const uploadsPerLook = 1_000

/** `stores` are asked each time. */
export function createMigrateJob(stores: () => MigrationStores): Job<MigrateInput> {
  return {
    kind: 'migrate',
    parse: parseInput,
    rates: (): JobRates => ({ itemsPerSecond: 0, bytesPerSecond: 0 }),
    run: async (input, context) => {
      const { kinds, openTarget } = stores()
      requireKinds('--from', input.fromKinds, kinds)
      if (context.shared) {
        throw new MigrateError(
          'several processes may write to this store: stop them all, and run this where none serves',
        )
      }
      await requireIdle(context)
      const target = await openTarget(input)
      try {
        requireKinds('--to', input.toKinds, target.kinds)
        return await (input.dryRun ? rehearse(target, context) : migrate(target, kinds, context))
      } finally {
        await target.close()
      }
    },
  }
}

function parseInput(input: unknown): { readonly input: MigrateInput } | { readonly error: string } {
  const fields = typeof input === 'object' && input !== null ? input : {}
  const { to, fromKinds, toKinds, dryRun = false } = fields as Readonly<Record<string, unknown>>
  if (typeof to !== 'string' || !isAbsolute(to)) {
    return { error: 'to: expected the absolute path of the configuration of the target' }
  }
  if (fromKinds !== undefined && typeof fromKinds !== 'string') return { error: badKinds('from') }
  if (toKinds !== undefined && typeof toKinds !== 'string') return { error: badKinds('to') }
  if (typeof dryRun !== 'boolean') return { error: 'dryRun: expected true or false' }
  return {
    input: {
      ...{ to, dryRun },
      ...(fromKinds === undefined ? {} : { fromKinds }),
      ...(toKinds === undefined ? {} : { toKinds }),
    },
  }
}

function badKinds(which: string): string {
  return `${which}Kinds: expected a text such as lmdb+fs`
}

function requireKinds(option: string, said: string | undefined, are: string): void {
  if (said === undefined || said === are) return
  throw new MigrateError(`${option} ${said}: the configuration has ${are}`)
}

/** They would be cut in the middle. */
async function requireIdle({ metadata }: JobContext): Promise<void> {
  for (const kind of otherKinds) {
    const record = await metadata.readJob(kind)
    if (record?.owner === undefined || record.endedAtMs !== undefined) continue
    throw new MigrateError(`${kind} is running, or was cut short: run it to its end first`)
  }
}

async function requireRoom(target: MigrationTarget, id: string): Promise<void> {
  const state = await target.records.readState()
  if (state.kind === 'used') {
    throw new MigrateError(`the target holds ${state.holds}: migrate to an empty one`)
  }
  if (state.kind === 'begun') {
    if (state.snapshot === id) return
    throw new MigrateError(`the target holds an unfinished restore of ${state.snapshot}: empty it`)
  }
  if (target.blobs === undefined) return
  for await (const { digest } of target.blobs.list()) {
    throw new MigrateError(`the target has no records, but blobs such as ${digest}: empty it`)
  }
}

async function idOf({ metadata, randomUuid }: JobContext): Promise<string> {
  await metadata.ensureSecret(`${randomUuid()}${randomUuid()}`)
  return `migration-${(await metadata.readStoreId()) ?? ''}`
}

async function rehearse(target: MigrationTarget, context: JobContext): Promise<JobReport> {
  await requireRoom(target, await idOf(context))
  const blobs = await moveBlobs(target, context, { isRehearsal: true })
  const ok = blobs.damaged.length === 0
  return {
    ok,
    summary: [
      ...blobs.damaged.slice(0, 100).map(({ digest, reason }) => `damaged: ${digest}: ${reason}`),
      `would move ${counted(blobs.count, 'blob')} (${roughSize(blobs.bytes)})${target.blobs === undefined ? ', which stay where they are' : ''}`,
    ],
    details: { dryRun: true, to: target.kinds, blobs },
  }
}

async function migrate(
  target: MigrationTarget,
  from: string,
  context: JobContext,
): Promise<JobReport> {
  const { metadata } = context
  const id = await idOf(context)
  await requireRoom(target, id)
  const thaw = await metadata.freeze()
  let isDone = false
  try {
    // One may have begun since it was asked first.
    await requireIdle(context)
    // The blobs of another place are in the tree of nobody else.
    const adoption = target.blobs === undefined ? await metadata.readAdoption() : undefined
    await target.records.begin(id, adoption)
    await loadRows(target, context)
    const blobs = await moveBlobs(target, context, { isRehearsal: false })
    if (blobs.damaged.length > 0) return damagedReport(blobs)
    const rows = await compareRows(metadata.openDump(), target.openDump(), context)
    if (rows.problem !== undefined) throw new MigrateError(rows.problem)
    const uploads = await countUploads(context)
    context.signal.throwIfAborted()
    await target.pair()
    const usageFaults = await target.records.end({}).catch(async (error: unknown) => {
      isDone = await mayBeOpened(target)
      throw isDone ? endedPerhaps(error) : error
    })
    isDone = true
    const { repositories, manifests, tags } = rows.counts
    return {
      ok: true,
      isFinal: true,
      summary: [
        `moved from ${from} to ${target.kinds}: ${counted(repositories, 'repository', 'repositories')}, ${counted(manifests, 'manifest')}, ${counted(tags, 'tag')}, ${counted(blobs.count, 'blob')} (${roughSize(blobs.bytes)}; ${blobs.copied} copied)`,
        `both stores hold the same ${counted(rows.records, 'record')} and ${counted(rows.bodies, 'manifest')}: SHA-256 ${rows.digest}`,
        ...(uploads === 0
          ? []
          : [`${counted(uploads, 'unfinished upload')} left behind: clients begin them again`]),
        ...usageFaults.map(
          ({ prefix }) => `the counters of '${prefix}' are wrong, as in the source`,
        ),
        'a server that runs on the source stays read-only till it is restarted: restart it with the new configuration',
      ],
      details: { from, to: target.kinds, ...rows, blobs, uploadsLeft: uploads, usageFaults },
    }
  } finally {
    // After a success pushes would be lost with the source.
    if (!isDone) thaw()
  }
}

// The answer to the last write may be lost, or come after it was given up.
async function mayBeOpened({ records }: MigrationTarget): Promise<boolean> {
  try {
    return (await records.readState()).kind !== 'begun'
  } catch {
    return true
  }
}

function endedPerhaps(cause: unknown): MigrateError {
  const message = cause instanceof Error ? cause.message : String(cause)
  return new MigrateError(
    `the last write to the target failed (${message}), and may be done all the same: this server stays read-only till it is restarted. Restart it with the old configuration and empty the target, or, where keelson check-config and a look at the target say that it is whole, with the new one`,
  )
}

function damagedReport(blobs: Awaited<ReturnType<typeof moveBlobs>>): JobReport {
  const { damaged } = blobs
  return {
    ok: false,
    summary: [
      `${counted(damaged.length, 'blob is', 'blobs are')} not what their digests say: the target is not finished`,
      ...damaged.slice(0, 100).map(({ digest, reason }) => `damaged: ${digest}: ${reason}`),
      'run keelson scrub, which heals them or puts them out of the way, and then this again',
    ],
    details: { blobs },
  }
}

async function loadRows(target: MigrationTarget, context: JobContext): Promise<void> {
  // No time passes between the two stores.
  const nowMs = context.now()
  const times: RestoreTimes = { takenAtMs: nowMs, nowMs, leaseUntilMs: 0 }
  const dump = context.metadata.openDump()
  try {
    for (let done = 0; ; ) {
      context.signal.throwIfAborted()
      const entries = await dump.next()
      if (entries.length === 0) return
      await target.records.load(entries, times, new Set())
      done += entries.length
      context.progress({ phase: 'records', done })
    }
  } finally {
    dump.close()
  }
}

async function countUploads({ metadata }: JobContext): Promise<number> {
  for (let count = 0, after = {}; ; ) {
    const page = await metadata.listUploads({ ...after, limit: uploadsPerLook })
    const last = page.at(-1)
    count += page.length
    if (last === undefined) return count
    after = { after: last.id }
  }
}
