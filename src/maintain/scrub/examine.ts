// One blob: what is there, against what its record says. Whatever looks wrong is looked at again, since requests
// and other jobs change both meanwhile.

import { type Digest, digestAlgorithm } from '../../oci/digest.ts'
import type { BlobMark, BlobSight } from '../../storage/blob/audit.ts'
import { modeProblem } from '../../storage/blob/mode.ts'
import { StorageError } from '../../storage/error.ts'
import type { AuditedBlob } from '../../storage/metadata/record-audit.ts'
import type { BlobFindingKind } from './finding.ts'
import { type ScrubRun, tell } from './run.ts'

type Sight = Extract<BlobSight, { kind: 'file' }>
type Known = Exclude<AuditedBlob['record'], 'unreadable'>

// An upload is published before it is linked, under a second name of its staged bytes.
const publishingMsMax = 60 * 60 * 1000
const looksMax = 3

export async function examineBlob(run: ScrubRun, digest: Digest): Promise<void> {
  for (let look = 1; look <= looksMax; look++) {
    // In this order: a file is there before its record is, and goes before it does.
    const sight = await run.files.look(digest)
    const record = (await run.audit.readBlobRecord(digest))?.record
    if (record !== 'unreadable' && record?.state === 'destroying') return
    if ((await judge(run, digest, sight, record)) === 'settled') return
  }
}

/** 'changed': it is not any more what was seen, and has to be looked at anew. */
type Verdict = 'settled' | 'changed'

async function judge(
  run: ScrubRun,
  digest: Digest,
  sight: BlobSight,
  record: AuditedBlob['record'] | undefined,
): Promise<Verdict> {
  switch (sight.kind) {
    case 'unreadable':
      tellUnread(run, digest, sight.reason)
      return 'settled'
    case 'absent':
      return judgeAbsent(run, digest, record)
    case 'other': {
      const reason = `${sight.what} at ${run.files.placeOf(digest)}`
      return putAside(run, { digest, kind: 'not-a-file', mark: sight.mark, reason, record })
    }
    case 'file':
      return judgeFile(run, digest, sight, record)
    default:
      return sight satisfies never
  }
}

async function judgeAbsent(
  run: ScrubRun,
  digest: Digest,
  record: AuditedBlob['record'] | undefined,
): Promise<Verdict> {
  if (record === undefined) return 'settled'
  const isRebuilt = run.memory.rebuilt.has(digest)
  if (record === 'unreadable') {
    tell(run, { kind: 'missing', what: digest }, 'found')
    return 'settled'
  }
  if (record.state === 'quarantined') {
    await judgeWaiting(run, digest, record, isRebuilt)
    return 'settled'
  }
  if (record.state === 'condemned' && record.wasQuarantined === true) return 'settled'
  if (!(await isStill(run, digest, record, undefined))) return 'changed'
  if (run.input.dryRun) {
    tell(run, { kind: 'missing', what: digest }, 'found')
    return 'settled'
  }
  const result = await quarantineRecord(run, digest)
  if (result !== 'quarantined') return result === 'there' ? 'changed' : 'settled'
  // Where that could not be asked in the transaction: whoever has pushed it meanwhile gets it back.
  if (await hasReturned(run, digest)) return 'changed'
  await tellLost(run, { kind: 'missing', digest, size: record.size, reason: 'no file is there' })
  return 'settled'
}

/** Out of the way since before. */
async function judgeWaiting(
  run: ScrubRun,
  digest: Digest,
  { size }: Known,
  isRebuilt: boolean,
): Promise<void> {
  if (isRebuilt) {
    await tellLost(run, { kind: 'missing', digest, size, reason: 'no file is there' })
    return
  }
  if (!(await run.audit.isNeeded(digest))) return
  const mayHeal = !run.input.dryRun && !(await run.isAdopted())
  const peer = mayHeal ? await heal(run, digest, size) : undefined
  if (peer === undefined) run.tally.wait(digest)
  else tell(run, { kind: 'quarantined-before', what: digest, reason: `from ${peer}` }, 'healed')
}

async function judgeFile(
  run: ScrubRun,
  digest: Digest,
  sight: Sight,
  record: AuditedBlob['record'] | undefined,
): Promise<Verdict> {
  const { dryRun, quick } = run.input
  if (record === undefined && isPublishing(run, sight)) return 'settled'
  const known = record === 'unreadable' ? undefined : record
  const isPlain = known !== undefined && known.state !== 'quarantined' && known.size === sight.size
  if (quick && (isPlain || record === undefined)) {
    tellMode(run, digest, sight)
    if (record === undefined) await tellOrphan(run, digest, await mayBeTheirs(run))
    return 'settled'
  }
  const bytes = await hashed(run, digest, sight)
  if (bytes === 'gone') return 'changed'
  if (bytes !== 'unreadable' && bytes !== 'right') {
    const size = known === undefined ? sight.size : known.size
    const reason =
      size === sight.size
        ? 'its bytes have another digest'
        : `it has ${sight.size} bytes in place of ${size}`
    return putAside(run, { digest, kind: 'corrupt', mark: sight.mark, reason, record })
  }
  if (bytes === 'unreadable') return 'settled'
  tellMode(run, digest, sight)
  if (isPlain) return 'settled'
  if (record === undefined) return recordOrphan(run, digest, sight)
  if (dryRun) {
    if (known?.state === 'quarantined') tell(run, { kind: 'bytes-returned', what: digest }, 'found')
    else if (known !== undefined) tell(run, { kind: 'record-size', what: digest }, 'found')
    return 'settled'
  }
  return settle(run, digest, sight)
}

/** The bytes are right, so the record has to follow. */
async function settle(run: ScrubRun, digest: Digest, sight: Sight): Promise<Verdict> {
  const { audit, context, graceMs, memory } = run
  const leaseUntilMs = context.now() + graceMs()
  const isThere = (): boolean => context.blobs.isThereNow?.(digest) ?? true
  const result = await context.changing(() =>
    audit.settleBlob({ digest, size: sight.size, leaseUntilMs, isThere }),
  )
  const isTold = result === 'resized' || (result === 'revived' && !memory.rebuilt.has(digest))
  if (isTold) {
    const kind = result === 'resized' ? 'record-size' : 'bytes-returned'
    tell(run, { kind, what: digest }, 'repaired')
    context.record({ deed: 'repair-record', digest, bytes: sight.size, reason: kind })
  }
  return result === 'absent' ? 'changed' : 'settled'
}

/** Between publish and link of an upload, and for a while after its process has died there. */
function isPublishing({ context }: ScrubRun, { hasOtherName, changedAtMs }: Sight): boolean {
  return hasOtherName && context.now() - changedAtMs < publishingMsMax
}

/** What no record knows: the other registry may, whose tree it is, adopted or not yet. */
async function mayBeTheirs({ files, isAdopted }: ScrubRun): Promise<boolean> {
  return (await isAdopted()) || (await files.isShared())
}

async function tellOrphan(run: ScrubRun, digest: Digest, isTheirs: boolean): Promise<void> {
  // A blob that is held and has no record is a fault of records, which tells of it.
  if ((await run.audit.holders(digest, 1)).length > 0) return
  const outcome = run.input.dryRun && !isTheirs ? 'found' : 'left'
  tell(run, { kind: 'orphan-file', what: digest }, outcome)
}

async function recordOrphan(run: ScrubRun, digest: Digest, sight: Sight): Promise<Verdict> {
  const { audit, context, graceMs, input } = run
  const isTheirs = await mayBeTheirs(run)
  if (input.dryRun || isTheirs) {
    await tellOrphan(run, digest, isTheirs)
    return 'settled'
  }
  const leaseUntilMs = context.now() + graceMs()
  const isThere = (): boolean => context.blobs.isThereNow?.(digest) ?? true
  const result = await audit.settleBlob({ digest, size: sight.size, leaseUntilMs, isThere })
  if (result !== 'recorded') return result === 'unchanged' ? 'settled' : 'changed'
  const reason = 'no record knew it; garbage collection takes it in its time'
  tell(run, { kind: 'orphan-file', what: digest, reason }, 'repaired')
  context.record({ deed: 'repair-record', digest, bytes: sight.size, reason: 'orphan-file' })
  return 'settled'
}

/** False where it is looked at again at the end. */
function tellUnread(run: ScrubRun, digest: Digest, reason: string): boolean {
  if (run.unread.tryDefer(digest)) return false
  tell(run, { kind: 'unreadable-file', what: digest, reason }, 'left')
  return true
}

function tellMode(run: ScrubRun, digest: Digest, { mode }: Sight): void {
  const reason = modeProblem(mode, 'file')
  if (reason !== undefined) tell(run, { kind: 'wrong-mode', what: digest, reason }, 'left')
}

/** Twice where they are wrong: memory and cables err, too. */
async function hashed(
  run: ScrubRun,
  digest: Digest,
  sight: Sight,
): Promise<'right' | 'wrong' | 'gone' | 'unreadable'> {
  const { context, tally } = run
  const target = context.blobs.readingTarget?.(digest)
  if (target === undefined) return 'right'
  for (let reading = 1; reading <= 2; reading++) {
    try {
      const pace = (bytes: number): Promise<void> => {
        tally.bytes += bytes
        return context.pace({ items: 0, bytes })
      }
      const algorithm = digestAlgorithm(digest)
      if ((await context.ingest.rehash(target, sight.size, algorithm, pace)) === digest)
        return 'right'
    } catch (error) {
      context.signal.throwIfAborted()
      if (!(error instanceof StorageError)) throw error
      // A thread that died says nothing of the file.
      if (error.kind !== 'corrupt') await context.ingest.ping()
      const now = await run.files.look(digest)
      // Shorter than it was, or gone.
      if (now.kind !== 'file' || now.mark !== sight.mark) return 'gone'
      // An encrypted file that is the same and not what was written.
      if (error.kind === 'corrupt') continue
      if (tellUnread(run, digest, error.message)) tellMode(run, digest, sight)
      return 'unreadable'
    }
  }
  return 'wrong'
}

interface Wrong {
  readonly digest: Digest
  readonly kind: 'corrupt' | 'not-a-file'
  readonly mark: BlobMark
  readonly reason: string
  readonly record: AuditedBlob['record'] | undefined
}

async function putAside(run: ScrubRun, wrong: Wrong): Promise<Verdict> {
  const { context, input } = run
  const { digest, kind, mark, reason, record } = wrong
  if (!(await isStill(run, digest, record, mark))) return 'changed'
  if (record === undefined && (await mayBeTheirs(run))) {
    tell(run, { kind, what: digest, reason: `${reason}; its file stays` }, 'left')
    return 'settled'
  }
  if (input.dryRun) {
    tell(run, { kind, what: digest, reason }, 'found')
    return 'settled'
  }
  const size = record === undefined || record === 'unreadable' ? 0 : record.size
  if (context.blobs.removalsLateMs !== undefined) {
    return leaveInPlace(run, wrong, size)
  }
  if (await run.isAdopted()) {
    // Its file stays where the other registry looks for it.
    await context.changing(() => run.audit.quarantineBlob(digest, () => false))
    tell(run, { kind, what: digest, reason: `${reason}; its file stays` }, 'quarantined')
    return 'settled'
  }
  // The file first: while a wrong one lies there, a push would take it for its own.
  const place = await context.blobs.quarantine(digest, mark)
  if (place === undefined) return 'changed'
  context.forgetBytes([digest])
  await quarantineRecord(run, digest)
  await tellLost(run, { kind, digest, size, reason: `${reason}; now ${place}` })
  return 'settled'
}

/** A push replaces what lies there; a removal that came late could hit what was pushed. */
async function leaveInPlace(run: ScrubRun, wrong: Wrong, size: number): Promise<Verdict> {
  const { context } = run
  const { digest, kind, mark, reason, record } = wrong
  if (record !== undefined && record !== 'unreadable' && record.state === 'quarantined') {
    await judgeWaiting(run, digest, record, false)
    return 'settled'
  }
  const unknown = { size, leaseUntilMs: context.now() + run.graceMs() }
  const result = await context.changing(() =>
    run.audit.quarantineBlob(digest, () => false, unknown),
  )
  context.forgetBytes([digest])
  if (result !== 'quarantined') return 'settled'
  // Pushed since it was read: the next look finds that, and the record follows.
  const sight = await run.files.look(digest)
  if (sight.kind !== 'file' || sight.mark !== mark) return 'changed'
  await tellLost(run, { kind, digest, size, reason: `${reason}; it stays where it is` })
  return 'settled'
}

async function hasReturned({ context, files }: ScrubRun, digest: Digest): Promise<boolean> {
  if (context.blobs.isThereNow !== undefined) return false
  return (await files.look(digest)).kind === 'file'
}

async function quarantineRecord(
  { audit, context }: ScrubRun,
  digest: Digest,
): Promise<'quarantined' | 'unchanged' | 'there'> {
  const isThere = (): boolean => context.blobs.isThereNow?.(digest) ?? false
  return context.changing(() => audit.quarantineBlob(digest, isThere))
}

interface Lost {
  readonly kind: BlobFindingKind
  readonly digest: Digest
  /** As it is recorded; 0 where nobody knows. */
  readonly size: number
  readonly reason: string
}

/** It reads as absent from now on, unless a peer has it. */
async function tellLost(run: ScrubRun, { kind, digest, size, reason }: Lost): Promise<void> {
  const { context, input } = run
  if (!input.dryRun) context.record({ deed: 'quarantine-blob', digest, bytes: size, reason })
  let peer: string | undefined
  try {
    const mayHeal = !input.dryRun && !(await run.isAdopted())
    peer = mayHeal ? await heal(run, digest, size) : undefined
  } finally {
    // Also where healing is cut short: that it is out of the way is done.
    const outcome = peer === undefined ? (input.dryRun ? 'found' : 'quarantined') : 'healed'
    const whole = peer === undefined ? reason : `${reason}; healed from ${peer}`
    tell(run, { kind, what: digest, reason: whole }, outcome)
  }
}

async function heal(run: ScrubRun, digest: Digest, size: number): Promise<string | undefined> {
  const peer = await run.healer.healBlob(digest, size)
  if (peer !== undefined) {
    run.context.record({ deed: 'heal-blob', digest, bytes: size, reason: `from ${peer}` })
  }
  return peer
}

/** Whether both are what they were: `mark` undefined stands for no file. */
async function isStill(
  { audit, files }: ScrubRun,
  digest: Digest,
  record: AuditedBlob['record'] | undefined,
  mark: BlobMark | undefined,
): Promise<boolean> {
  const sight = await files.look(digest)
  const is = sight.kind === 'file' || sight.kind === 'other' ? sight.mark : undefined
  if (is !== mark || (sight.kind === 'unreadable' && mark === undefined)) return false
  const now = (await audit.readBlobRecord(digest))?.record
  return JSON.stringify(now) === JSON.stringify(record)
}
