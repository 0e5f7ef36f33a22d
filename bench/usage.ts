// CPU time and resident memory of a server and all its descendants, from /proc.

import { readdirSync, readFileSync } from 'node:fs'

// sysconf(_SC_CLK_TCK) is 100 on every Linux that Node supports.
const TICKS_PER_SECOND = 100

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // A process or thread that ended between listing and reading counts as nothing.
    return ''
  }
}

/** The process and all its descendants that live now. */
export function family(pid: number): readonly number[] {
  const pids = [pid]
  for (let index = 0; index < pids.length; index++) {
    const base = `/proc/${pids[index]}/task`
    for (const thread of namesIn(base)) {
      for (const child of readOrEmpty(`${base}/${thread}/children`).split(' ')) {
        if (child !== '') pids.push(Number(child))
      }
    }
  }
  return pids
}

function namesIn(base: string): string[] {
  try {
    return readdirSync(base)
  } catch {
    return []
  }
}

function statSeconds(path: string): number {
  const stat = readOrEmpty(path)
  // The command name may hold spaces and brackets, so count fields from the last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND
}

/** User and system seconds of the process, its threads (ended ones too) and its descendants. */
export function cpuSeconds(pid: number): number {
  let seconds = 0
  for (const member of family(pid)) seconds += statSeconds(`/proc/${member}/stat`)
  return seconds
}

/** User and system seconds of each living thread of one process, by thread id. */
export function threadCpuSeconds(pid: number): Map<number, number> {
  const base = `/proc/${pid}/task`
  return new Map(
    namesIn(base).map((thread) => [Number(thread), statSeconds(`${base}/${thread}/stat`)]),
  )
}

/** The same of the family's living threads, to the nanosecond: for rounds shorter than many ticks. */
export function cpuNanoseconds(pid: number): number {
  let nanoseconds = 0
  for (const member of family(pid)) {
    const base = `/proc/${member}/task`
    for (const thread of namesIn(base)) {
      nanoseconds += Number(readOrEmpty(`${base}/${thread}/schedstat`).split(' ')[0] ?? 0)
    }
  }
  return nanoseconds
}

export interface Resident {
  /** What the processes hold themselves. */
  readonly anonymousBytes: number
  /** Pages of mapped files: programs, libraries, LMDB. The kernel takes them back as it likes. */
  readonly fileBytes: number
}

/** Resident memory at this moment, summed over the family. */
export function resident(pid: number): Resident {
  let anonymous = 0
  let file = 0
  for (const member of family(pid)) {
    const status = readOrEmpty(`/proc/${member}/status`)
    anonymous += Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0)
    file += Number(/^RssFile:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0)
  }
  return { anonymousBytes: anonymous * 1024, fileBytes: file * 1024 }
}

/** Descriptors that are open, summed over the family. */
export function openFiles(pid: number): number {
  return family(pid).reduce((sum, member) => sum + namesIn(`/proc/${member}/fd`).length, 0)
}

/** Highest resident set since the start (VmHWM), summed over the family. Units: bytes. */
export function peakRssBytes(pid: number): number {
  let kibibytes = 0
  for (const member of family(pid)) {
    const match = /^VmHWM:\s+(\d+) kB$/m.exec(readOrEmpty(`/proc/${member}/status`))
    kibibytes += Number(match?.[1] ?? 0)
  }
  return kibibytes * 1024
}
