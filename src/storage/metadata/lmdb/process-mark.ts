// What a process does with a store at the moment: a file of its own, which others see without opening LMDB.
// It is empty, so that there is room for it on a full disk: the name tells who, the mode tells what.

import {
  closeSync,
  fchmodSync,
  futimesSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Holder } from './store-lock.ts'

// In the order of their numbers.
const doings = ['entering', 'waiting', 'opening', 'idle', 'writing', 'alone'] as const

/**
 * `entering`: nothing yet. `waiting`: wants to open the environment. `opening`: does. `idle`: has it open
 * and writes nothing. `writing`: may commit. `alone`: may commit at any time, and bears nobody beside it.
 */
export type Doing = (typeof doings)[number]

export interface MarkedProcess {
  readonly file: string
  /** Its heartbeat is that of the file. */
  readonly holder: Holder
  readonly doing: Doing
}

const ownerMode = 0o600
const doingMode = 0o007

export class ProcessMark {
  readonly #file: string
  readonly #descriptor: number
  #isRemoved = false

  /** It is `entering`. */
  constructor(folder: string, holder: Holder) {
    this.#file = join(folder, nameOf(holder))
    this.#descriptor = openSync(this.#file, 'wx', ownerMode)
    this.renew(holder.heartbeatMs)
  }

  /** Without effect once it is removed, as `renew` is: the descriptor may be another file's by then. */
  set(doing: Doing): void {
    if (this.#isRemoved) return
    fchmodSync(this.#descriptor, ownerMode | doings.indexOf(doing))
  }

  renew(nowMs: number): void {
    if (!this.#isRemoved) futimesSync(this.#descriptor, nowMs / 1000, nowMs / 1000)
  }

  /** Idempotent. */
  remove(): void {
    if (this.#isRemoved) return
    this.#isRemoved = true
    closeSync(this.#descriptor)
    removeMark(this.#file)
  }
}

/** All of a store, those of dead processes too. */
export function readMarks(folder: string): readonly MarkedProcess[] {
  return readdirSync(folder).flatMap((name) => {
    const file = join(folder, name)
    const named = holderOf(name)
    const stat = named === undefined ? undefined : statSync(file, { throwIfNoEntry: false })
    if (named === undefined || stat === undefined) return []
    const holder = { ...named, heartbeatMs: stat.mtimeMs }
    // Where somebody else has changed the mode, it counts as what keeps others away.
    return [{ file, holder, doing: doings[stat.mode & doingMode] ?? 'writing' }]
  })
}

export function removeMark(file: string): void {
  rmSync(file, { force: true })
}

const namePrefix = 'process,'

function nameOf({ pid, startTime, bootId, pidNamespace, sharing, sinceMs, id }: Holder): string {
  const parts = [pid, startTime, bootId, pidNamespace, sharing, sinceMs, id]
  return namePrefix + parts.map(encodeURIComponent).join(',')
}

function holderOf(name: string): Omit<Holder, 'heartbeatMs'> | undefined {
  if (!name.startsWith(namePrefix)) return undefined
  const parts = name.slice(namePrefix.length).split(',').map(decodeURIComponent)
  const [pid, startTime = '', bootId = '', pidNamespace = '', sharing, sinceMs, id] = parts
  if (id === undefined) return undefined
  return {
    ...{ pid: Number(pid), startTime, bootId, pidNamespace, sinceMs: Number(sinceMs), id },
    sharing: sharing === 'exclusive' ? 'exclusive' : 'shared',
  }
}
