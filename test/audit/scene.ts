// Answers for audit logs in tests: a folder, a queue over a file in it, and what the file then holds.

import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { AuditQueue, type QueueOptions } from '../../src/audit/queue.ts'
import { until } from '../support/until.ts'

/** Any record of the file. */
export interface ReadRecord extends Readonly<Record<string, unknown>> {
  readonly time: string
  readonly seq: number
  readonly kind: string
  readonly prev?: string
  readonly hash?: string
}

export interface QueueScene {
  readonly queue: AuditQueue
  readonly faults: string[]
  readonly lost: string[]
  /** Add so many records, numbered from `from` on as `n`. */
  add(count: number, from?: number): void
  /** Until nothing waits. */
  settled(): Promise<void>
}

export async function openFolder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'keelson-audit-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

/** A queue with room enough, chained; its clock stands still but for `elapsed`. */
export async function openQueue(
  path: string,
  options: Partial<QueueOptions> = {},
): Promise<QueueScene> {
  const faults: string[] = []
  const lost: string[] = []
  const queue = await AuditQueue.open({
    ...{ path, queueMax: 10_000, onFull: 'refuse', isChained: true, syncs: false },
    now: () => Date.UTC(2026, 0, 2),
    elapsed: () => performance.now(),
    onFault: (message) => faults.push(message),
    onLost: (lines) => lost.push(...lines),
    ...options,
  })
  return {
    queue,
    faults,
    lost,
    add: (count, from = 0) => {
      for (let n = from; n < from + count; n += 1) queue.add('login', () => ({ n }))
    },
    settled: () => until('an empty queue', () => queue.figures().queued === 0),
  }
}

export function recordsIn(path: string): readonly ReadRecord[] {
  return linesIn(path).map((line) => JSON.parse(line) as ReadRecord)
}

export function linesIn(path: string): readonly string[] {
  const lines = readFileSync(path, 'utf8').split('\n')
  if (lines.pop() !== '') throw new Error(`${path} does not end in a newline`)
  return lines
}
