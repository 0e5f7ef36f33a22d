// Goal: a registry is one source of imports among others: what it cannot give is a fault of that thing
// alone, what breaks off goes on, and a registry that is gone ends the run. Method: a scripted client.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type ImportRequest,
  type ImportSource,
  type SourceBlob,
  SourceGoneError,
} from '../../../../src/maintain/transfer/contract.ts'
import { createRegistryImporter } from '../../../../src/maintain/transfer/registry/source.ts'
import { parseDigest } from '../../../../src/oci/digest.ts'
import { parseTag } from '../../../../src/oci/tag.ts'
import {
  type RemoteBlob,
  RemoteError,
  type RemoteRegistry,
} from '../../../../src/outbound/registry/contract.ts'

const digest = parseDigest(`sha256:${'ab'.repeat(32)}`)
const tag = parseTag('v1')
assert.ok(digest !== undefined && tag !== undefined)

const unavailable = new RemoteError('unavailable', 'it answered 503')
const limits = { manifestBytesMax: 1024 }

function remote(changes: Partial<RemoteRegistry> = {}): RemoteRegistry {
  return {
    async *repositories() {
      yield* ['b', 'a', 'Odd', 'a']
    },
    async *tags() {
      yield* ['v1', 'not a tag']
    },
    referrers: async () => ['sha256:odd', digest as string],
    manifest: async () => ({ mediaType: '', bytes: Buffer.from('{}') }),
    blob: async () => undefined,
    close: async () => {},
    ...changes,
  }
}

async function open(
  registry: RemoteRegistry,
  options: ImportRequest['options'] = {},
): Promise<ImportSource> {
  const request: ImportRequest = {
    ...{ from: 'registry', source: 'https://r.example', overwrite: false, dryRun: false },
    ...{ bytesPerSecond: 0, options },
  }
  const importer = createRegistryImporter(async () => registry)
  assert.equal(importer.check?.(request), undefined)
  return importer.open(request, limits, new AbortController().signal)
}

async function all<T>(list: AsyncIterable<T> | undefined): Promise<T[]> {
  const items: T[] = []
  for await (const item of list ?? []) items.push(item)
  return items
}

async function bytesOf(blob: SourceBlob | undefined): Promise<string> {
  assert.equal(blob?.kind, 'stream')
  return Buffer.concat(await all(await blob.open(new AbortController().signal))).toString()
}

/** Gives `pieces`, then fails unless they are the last. */
function piece(text: string, error?: Error): RemoteBlob {
  return {
    size: undefined,
    body: (async function* () {
      if (text !== '') yield Buffer.from(text)
      if (error !== undefined) throw error
    })(),
    cancel: () => {},
  }
}

test('repositories come sorted and once each, from where a run was cut', async () => {
  const source = await open(remote())
  const reason = 'this is no name of a repository'
  assert.deepEqual(await all(source.repositories()), [{ repository: 'Odd', reason }, 'a', 'b'])
  assert.deepEqual(await all(source.repositories('a')), ['b'])
  assert.deepEqual(await all(source.roots('a')), [
    { tag: 'v1' },
    { repository: 'a', reference: 'not a tag', reason: 'this is no tag' },
  ])
  assert.deepEqual(await all(source.referrersOf?.('a', digest)), [digest])
  assert.deepEqual(await source.readManifest('a', tag, 100), { bytes: Buffer.from('{}') })
})

test('a registry without a catalogue is asked for the repositories that are named', async () => {
  const registry = remote({
    // biome-ignore lint/correctness/useYield: it fails before it gives anything.
    async *repositories() {
      throw new RemoteError('absent', 'no list')
    },
  })
  await assert.rejects(open(registry), /name them, with --only/)
  const source = await open(registry, { only: ['b/c', 'a', 'a'] })
  assert.deepEqual(await all(source.repositories()), ['a', 'b/c'])
  const importer = createRegistryImporter(async () => registry)
  const asked = { from: 'registry', source: 'x', overwrite: false, dryRun: false } as const
  for (const only of [['../etc'], 'a', [5]]) {
    assert.match(importer.check?.({ ...asked, bytesPerSecond: 0, options: { only } }) ?? '', /only/)
  }
})

test('a blob that breaks off goes on where it was cut', async () => {
  const offsets: number[] = []
  const source = await open(
    remote({
      blob: async (_name, _digest, { offset = 0 } = {}) => {
        offsets.push(offset)
        return offset === 6 ? piece('789') : piece(offset === 0 ? '0123' : '45', unavailable)
      },
    }),
  )
  assert.equal(await bytesOf(await source.findBlob('a', digest)), '012345789')
  assert.deepEqual(offsets, [0, 4, 6])
})

test('a blob that never goes on is a fault, and one that is not there, too', async () => {
  const broken = await open(remote({ blob: async () => piece('', unavailable) }))
  await assert.rejects(bytesOf(await broken.findBlob('a', digest)), /503/)
  const absent = await open(remote())
  await assert.rejects(bytesOf(await absent.findBlob('a', digest)), /has no blob/)
})

test('a registry that fails again and again is gone; one good answer makes it new', async () => {
  let isGood = false
  const source = await open(
    remote({
      manifest: async () => {
        if (isGood) return undefined
        throw unavailable
      },
    }),
  )
  const ask = (): Promise<unknown> => source.readManifest('a', tag, 100)
  for (let failures = 1; failures < 5; failures++) await assert.rejects(ask(), RemoteError)
  isGood = true
  assert.equal(await ask(), undefined)
  isGood = false
  for (let failures = 1; failures < 5; failures++) await assert.rejects(ask(), RemoteError)
  await assert.rejects(ask(), SourceGoneError)
})

test('what is denied is never taken for a registry that is gone', async () => {
  const denied = new RemoteError('denied', 'it does not allow that')
  const source = await open(
    remote({
      manifest: async () => {
        throw denied
      },
    }),
  )
  for (let i = 0; i < 20; i++) await assert.rejects(source.readManifest('a', tag, 100), denied)
})
