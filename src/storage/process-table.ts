// Which processes of this host still run, as far as /proc tells.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** A process, so that another one with the same pid is not taken for it. */
export interface ProcessIdentity {
  readonly pid: number
  /** In clock ticks since boot. */
  readonly startTime: string
  readonly bootId: string
  readonly pidNamespace: string
}

// Fields of /proc/<pid>/stat behind the command's closing parenthesis: the 3rd and the 22nd of all.
const stateField = 0
const startTimeField = 19

/** Parts that cannot be read are empty: then nothing is concluded from them. */
export function ownIdentity(): ProcessIdentity {
  return {
    pid: process.pid,
    startTime: readStat(process.pid)?.startTime ?? '',
    bootId: readText('/proc/sys/kernel/random/boot_id'),
    pidNamespace: readNamespace(),
  }
}

/** Start time of a running process of our own pid namespace: `unknown` where it hides. */
export function startTimeOf(pid: number): string | 'gone' | 'unknown' {
  const stat = readStat(pid)
  if (stat !== undefined) return isOver(pid, stat.state) ? 'gone' : stat.startTime
  try {
    process.kill(pid, 0)
    return 'unknown'
  } catch (error) {
    const isAbsent = error instanceof Error && 'code' in error && error.code === 'ESRCH'
    return isAbsent ? 'gone' : 'unknown'
  }
}

/**
 * A zombie holds nothing any more; its parent merely has not asked for it. But its threads may outlive
 * its first one by the end of a system call, such as a write.
 */
function isOver(pid: number, state: string): boolean {
  if (state !== 'Z') return state === 'X'
  try {
    return readdirSync(`/proc/${pid}/task`).length <= 1
  } catch {
    // Gone between the two looks, or hidden: the next look tells.
    return false
  }
}

function readStat(pid: number): { readonly state: string; readonly startTime: string } | undefined {
  const text = readText(`/proc/${pid}/stat`)
  // The command may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const state = fields[stateField]
  const startTime = fields[startTimeField]
  return state === undefined || startTime === undefined ? undefined : { state, startTime }
}

function readNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch {
    return ''
  }
}
