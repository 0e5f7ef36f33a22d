// Asserts, from a trace, that everything which makes a write durable was over before its 201 was sent.

import assert from 'node:assert/strict'
import { parseDigest } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { blobKey, manifestKey } from '../../src/storage/metadata/kv/keys.ts'
import type { Call } from './trace.ts'

const writing = new Set(['write', 'writev', 'pwrite64', 'pwritev'])
const sending = new Set([...writing, 'sendto', 'sendmsg'])
const syncing = new Set(['fdatasync', 'fsync'])

/** Data → fdatasync → link → fsync of both directories → metadata → 201. Errors: AssertionError. */
export function assertBlobIsDurable(calls: readonly Call[], digest: string): void {
  const hex = digest.slice(digest.indexOf(':') + 1)
  const link = theOne(calls, `link of ${digest}`, ({ name, args, result }) => {
    return /^link(at)?$/.test(name) && args.includes(hex) && result === 0
  })
  const paths = [...link.args.matchAll(/"([^"]+)"/g)].map(([, path]) => path ?? '')
  const [staged = '', target = ''] = paths
  const written = calls.filter(({ name, on }) => writing.has(name) && on === staged)
  assert.ok(written.length > 0, `no bytes were written to ${staged}`)
  const lastByte = Math.max(...written.map(({ ended }) => ended))
  const synced = syncOf(calls, staged, lastByte)
  before(synced, link, 'fdatasync of the data', 'its link')

  const directory = target.slice(0, target.lastIndexOf('/'))
  const prefix = directory.slice(0, directory.lastIndexOf('/'))
  const names = [directory, prefix].map((path) => syncOf(calls, path, link.ended))
  assertMetadataIsDurable(calls, digest, blobKey(parseDigest(digest)!), names)
}

/** Metadata → 201. Errors: AssertionError. */
export function assertManifestIsDurable(
  calls: readonly Call[],
  repository: string,
  digest: string,
): void {
  const key = manifestKey(parseRepositoryName(repository)!, parseDigest(digest)!)
  assertMetadataIsDurable(calls, digest, key, [])
}

/**
 * LMDB writes the pages of a commit and a meta page that it does not trust yet; then it syncs, and then
 * writes the meta page that counts after a power loss, through a descriptor that syncs each write.
 */
function assertMetadataIsDurable(
  calls: readonly Call[],
  digest: string,
  /** Of the record that makes the write known. */
  key: string,
  prerequisites: readonly Call[],
): void {
  const data = calls.filter(({ on }) => on.endsWith('/data.mdb'))
  const page = data.find(({ name, args }) => writing.has(name) && args.includes(key))
  assert.ok(page, `no page of the metadata has ${key}`)
  for (const prerequisite of prerequisites) {
    before(prerequisite, page, `${prerequisite.name} of ${prerequisite.on}`, 'the metadata')
  }
  const reply = theOne(calls, `201 for ${digest}`, ({ name, args }) => {
    return sending.has(name) && args.includes('HTTP/1.1 201') && args.includes(digest)
  })
  const meta = data.find((call) => call.begun > page.ended && isMetaPage(call))
  assert.ok(meta, 'the commit has no meta page')
  const synced = syncOf(calls, page.on, meta.ended)
  const trusted = data.find((call) => {
    return call.begun > synced.ended && isMetaPage(call) && syncsItself(calls, call)
  })
  assert.ok(trusted, 'no meta page was written after the sync')
  before(trusted, reply, 'the meta page of the sync', 'the 201')
}

// Meta pages are the first two of the file; lmdb-js keeps a third copy in the middle of the first.
function isMetaPage({ name, args, result }: Call): boolean {
  const offset = Number(/, (\d+)$/.exec(args)?.[1])
  return name === 'pwrite64' && result > 0 && offset < 8192
}

function syncsItself(calls: readonly Call[], { args }: Call): boolean {
  const descriptor = Number.parseInt(args, 10)
  return calls.some(({ name, args: opening, result }) => {
    return name === 'openat' && result === descriptor && opening.includes('O_DSYNC')
  })
}

/** The first sync of `path` that began after `begin`. */
function syncOf(calls: readonly Call[], path: string, begin: number): Call {
  const found = calls.find(
    ({ name, on, begun, result }) =>
      syncing.has(name) && on === path && begun > begin && result === 0,
  )
  assert.ok(found, `${path} was not synced after its last change`)
  return found
}

function before(first: Call, second: Call, what: string, whatNext: string): void {
  const lines = `lines ${first.begun} to ${first.ended}, and ${second.begun}`
  assert.ok(first.ended < second.begun, `${what} was not over before ${whatNext}: ${lines}`)
}

function theOne(calls: readonly Call[], what: string, is: (call: Call) => boolean): Call {
  const found = calls.filter(is)
  assert.equal(found.length, 1, `${what}: ${found.length} calls`)
  return found[0]!
}
