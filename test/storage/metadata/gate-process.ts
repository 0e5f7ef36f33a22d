// A process that goes through the gate of a store again and again, without any store behind it. Beside the
// folder it leaves traces of what it does, and counts those of others that exclude it.

import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { OpenGate } from '../../../src/storage/metadata/lmdb/open-gate.ts'
import { ownIdentity, startTimeOf } from '../../../src/storage/process-table.ts'

export interface GateReport {
  readonly opened: number
  readonly writes: number
  readonly breaches: readonly string[]
}

const [folder = '', timeMs = '', writesPerOpening = '', leastOpenings = ''] = process.argv.slice(2)
const path = join(folder, 'store')
const inside = join(folder, 'inside')
const writing = join(folder, 'writing')

const breaches: string[] = []
let opened = 0
let writes = 0

function openOnce(): void {
  try {
    mkdirSync(inside)
  } catch {
    breaches.push('two open at once')
    return
  }
  for (let looks = 0; looks < 3; looks++) {
    if (readdirSync(writing).length > 0) breaches.push('one writes while another opens')
  }
  rmdirSync(inside)
}

async function writeOnce(gate: OpenGate, trace: string): Promise<void> {
  await gate.beginWrite()
  closeSync(openSync(trace, 'w'))
  if (existsSync(inside)) breaches.push('one opens while another writes')
  rmSync(trace)
  gate.endWrite()
}

async function main(): Promise<void> {
  const identity = ownIdentity()
  const endAt = performance.now() + Number(timeMs)
  // Whose turn it is chance decides, so that on a busy machine one may get few in the same time.
  while (performance.now() < endAt || opened < Number(leastOpenings)) {
    const id = randomUUID()
    const now = Date.now
    const sharing = 'shared'
    const options = { path, sharing, identity, now, random: () => id, startTimeOf } as const
    const holder = { ...identity, id, sharing, sinceMs: now(), heartbeatMs: now() } as const
    const gate = new OpenGate(options, holder)
    await gate.beginOpening()
    openOnce()
    gate.endOpening()
    opened++
    for (let i = 0; i < Number(writesPerOpening); i++, writes++) {
      await writeOnce(gate, join(writing, id))
    }
    gate.leave()
  }
  process.send?.({ opened, writes, breaches } satisfies GateReport)
  process.disconnect()
}

await main()
