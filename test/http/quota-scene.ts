// Answers for tests of quotas: a server whose admin socket is in a folder of the test, and what it tells of use.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import {
  type Answer,
  assertRefused,
  digestOf,
  type RegistryClient,
} from '../support/registry-client.ts'
import { adminCall } from './product.ts'

export interface Use {
  readonly prefix: string
  readonly bytes: number
  readonly tags: number
  readonly quotas: readonly object[]
}

/** The admin socket of one server. */
export class UsageReader {
  readonly socket: string

  constructor(socket: string) {
    this.socket = socket
  }

  async read(prefix: string): Promise<Use> {
    const { status, body } = await adminCall(this.socket, `/usage?prefix=${prefix}`)
    assert.equal(status, 200, body)
    return JSON.parse(body) as Use
  }

  /** Errors: an assertion where a counter is not what is stored. */
  async assertExact(): Promise<void> {
    const { status, body } = await adminCall(this.socket, '/usage/recount', 'POST', '{}')
    assert.equal(status, 200, body)
    assert.deepEqual(JSON.parse(body), { faults: [], repaired: false })
  }
}

/** Called in a `describe`: a folder for admin sockets, gone after its tests. */
export function socketFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-quota-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The `detail` of a refusal by a quota, whose message names it too. */
export function assertOverQuota(answer: Answer, quota: string, resource = 'bytes'): void {
  const detail = assertRefused(answer, 403, 'DENIED') as Readonly<Record<string, unknown>>
  assert.equal(detail['quota'], quota, answer.body.toString())
  assert.equal(detail['resource'], resource)
  assert.match(
    answer.body.toString(),
    new RegExp(`quota of ${quota || 'the registry'} leaves no room`),
  )
}

export type PushWay = 'post' | 'put' | 'patch' | 'stream'

export const pushWays: readonly PushWay[] = ['post', 'put', 'patch', 'stream']

/** Push a blob; the answer that decided, which is the first that is no 202. */
export async function tryPush(
  client: RegistryClient,
  repository: string,
  bytes: Buffer,
  way: PushWay,
): Promise<Answer> {
  const digest = digestOf(bytes)
  const uploads = `/v2/${repository}/blobs/uploads/`
  if (way === 'post') return client.call('POST', `${uploads}?digest=${digest}`, { body: bytes })
  const opened = await client.call('POST', uploads)
  if (opened.status !== 202) return opened
  const { location = '' } = opened.headers
  if (way === 'put') return client.finish(location, digest, bytes)
  const half = bytes.length >> 1
  const pieces = [bytes.subarray(0, half), bytes.subarray(half)]
  const patched = await client.patch(location, way === 'patch' ? bytes : pieces)
  return patched.status === 202 ? client.finish(patched.headers['location'] ?? '', digest) : patched
}
