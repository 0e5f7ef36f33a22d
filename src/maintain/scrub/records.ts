// The pass over the records: page by page, in memory that does not grow with the store.

import type { AuditPage, RecordFault, WantedManifest } from '../../storage/metadata/record-audit.ts'
import { type ScrubRun, tell } from './run.ts'

const recordsPerPage = 200

export async function auditRecords(run: ScrubRun, from: string | undefined): Promise<void> {
  const { context, save, tally } = run
  for (let next = from; ; ) {
    const page = await auditPage(run, next)
    tally.records += page.records
    for (const fault of page.faults) await tellFault(run, fault)
    for (const wanted of page.wanted) await healLost(run, wanted)
    context.progress({ phase: 'comparing records', done: tally.records })
    next = page.next
    if (next === undefined) return
    await save({ pass: 'records', at: next }, page.faults.length > 0)
    await context.pace({ items: page.records, bytes: page.bytes })
  }
}

async function auditPage(run: ScrubRun, from: string | undefined): Promise<AuditPage> {
  const { audit, context, graceMs, input, memory } = run
  const look = (repair: boolean): Promise<AuditPage> => {
    const nowMs = context.now()
    return audit.auditRecords({
      ...(from === undefined ? {} : { from }),
      ...{ limit: recordsPerPage, nowMs, leaseUntilMs: nowMs + graceMs(), repair, memory },
    })
  }
  const page = await look(false)
  const isSound = page.faults.every(({ remedy }) => remedy === 'none')
  // Not at once: while something may change, no reply is taken from memory.
  return isSound || input.dryRun ? page : context.changing(() => look(true))
}

async function tellFault(run: ScrubRun, { kind, key, remedy, wanted }: RecordFault): Promise<void> {
  const { context, input } = run
  if (remedy === 'repair') {
    tell(run, { kind, what: key }, input.dryRun ? 'found' : 'repaired')
    if (!input.dryRun) context.record({ deed: 'repair-record', reason: `${kind}: ${key}` })
    return
  }
  const peer = wanted === undefined || input.dryRun ? undefined : await heal(run, wanted)
  if (peer !== undefined) tell(run, { kind, what: key, reason: `from ${peer}` }, 'healed')
  else if (remedy === 'none') tell(run, { kind, what: key }, 'left')
  else tell(run, { kind, what: key }, input.dryRun ? 'found' : 'quarantined')
}

/** Out of the way since an earlier run. */
async function healLost(run: ScrubRun, wanted: WantedManifest): Promise<void> {
  const what = `${wanted.repository}@${wanted.digest}`
  const peer = run.input.dryRun ? undefined : await heal(run, wanted)
  if (peer === undefined) run.tally.wait(what)
  else tell(run, { kind: 'quarantined-before', what, reason: `from ${peer}` }, 'healed')
}

async function heal(run: ScrubRun, wanted: WantedManifest): Promise<string | undefined> {
  const { repository, digest } = wanted
  const peer = await run.healer.healManifest(wanted)
  if (peer !== undefined) {
    run.context.record({ deed: 'restore-manifest', repository, digest, reason: `from ${peer}` })
  }
  return peer
}
