// What a site holds when nobody is at work: read through every host, compared with the model and with one another, and the
// bucket's own bytes.

import assert from 'node:assert/strict'
import { type Answer, assertStatus, digestOf, json } from '../support/registry-client.ts'
import type { Holdings } from './holdings.ts'
import type { HostNode, Site } from './site.ts'

export interface Found {
  blobs: number
  manifests: number
  tags: number
  objects: number
}

/** The first host's answers settle what is not known; the others must give the same. Errors: AssertionError. */
export async function inspect(site: Site, all: readonly Holdings[]): Promise<Found> {
  const found = { blobs: 0, manifests: 0, tags: 0, objects: 0 }
  for (const node of site.nodes) {
    await Promise.all(all.map((holdings) => inspectThrough(node, holdings, found)))
  }
  const digests = await requireRightObjects(site)
  for (const holdings of all) {
    for (const { digest } of holdings.heldBlobs) {
      assert.ok(digests.has(digest), `${digest} is held, and not in the bucket`)
    }
  }
  return { ...found, objects: digests.size }
}

async function inspectThrough(node: HostNode, holdings: Holdings, found: Found): Promise<void> {
  const { repository } = holdings
  const get = async (path: string): Promise<Answer | undefined> => {
    const answer = await node.client.get(`/v2/${repository}/${path}`)
    if (answer.status !== 404) assertStatus(answer, 200, `${node.name}: ${repository}/${path}`)
    return answer.status === 404 ? undefined : answer
  }
  const name = (what: string): string => `${node.name}: ${repository} ${what}`
  for (const { digest, bytes, isHeld } of holdings.manifests) {
    const answer = await get(`manifests/${digest}`)
    if (answer !== undefined) assert.ok(answer.body.equals(bytes), name(`${digest}: other bytes`))
    const isThere = answer !== undefined
    assert.ok(isHeld.settle(isThere), name(`${digest} is ${isThere ? 'there' : 'gone'}`))
    if (isThere) found.manifests += 1
  }
  for (const tag of holdings.tags) {
    const answer = await get(`manifests/${tag.name}`)
    const digest = answer && digestOf(answer.body)
    const allowed = tag.digest.allowed.join(' or ')
    assert.ok(tag.digest.settle(digest), name(`${tag.name} is ${digest}, not ${allowed}`))
    const isKnown = [...holdings.manifests].some((each) => {
      return each.digest === digest && each.isHeld.isSurely(true)
    })
    assert.ok(digest === undefined || isKnown, name(`${tag.name} without its manifest`))
    if (digest !== undefined) found.tags += 1
  }
  const blobs = await inspectBlobs(holdings, get, name)
  found.blobs += blobs
  await inspectTagList(node, holdings)
}

async function inspectBlobs(
  holdings: Holdings,
  get: (path: string) => Promise<Answer | undefined>,
  name: (what: string) => string,
): Promise<number> {
  // Named by what is there, whatever its lease was.
  const named = new Set(holdings.heldManifests.flatMap(({ blobs }) => blobs))
  let count = 0
  for (const blob of holdings.blobs) {
    holdings.fade()
    const answer = await get(`blobs/${blob.digest}`)
    const isThere = answer !== undefined
    if (isThere) assert.ok(answer.body.equals(blob.bytes), name(`${blob.digest}: other bytes`))
    assert.ok(isThere || !named.has(blob), name(`${blob.digest} is named, and gone`))
    // A lease may have ended just now.
    if (!isThere) holdings.fade()
    const isAllowed = blob.isHeld.allowed.includes(isThere)
    assert.ok(isAllowed, name(`${blob.digest} is ${isThere ? 'there' : 'gone'}`))
    if (isThere) count += 1
  }
  return count
}

async function inspectTagList(node: HostNode, holdings: Holdings): Promise<void> {
  if (holdings.heldManifests.length === 0) return
  const path = `/v2/${holdings.repository}/tags/list`
  const { tags } = json<{ tags: string[] }>(assertStatus(await node.client.get(path), 200))
  const set = [...holdings.tags].filter(({ digest }) => !digest.isSurely(undefined))
  assert.deepEqual([...tags].sort(), set.map((tag) => tag.name).sort(), `${node.name}: ${path}`)
}

/** Digests of the blobs in the bucket, whose bytes are theirs. */
async function requireRightObjects({ bucket, s3 }: Site): Promise<ReadonlySet<string>> {
  const digests = new Set<string>()
  for (const key of await s3.keys(bucket)) {
    const hex = /^docker\/registry\/v2\/blobs\/sha256\/..\/([0-9a-f]{64})\/data$/.exec(key)?.[1]
    if (hex === undefined) continue
    const digest = digestOf(await s3.read(bucket, key))
    assert.equal(digest, `sha256:${hex}`, `object ${key}`)
    digests.add(digest)
  }
  return digests
}
