// Names a process so that another one on the same host can tell whether it still runs.

import { readFileSync } from 'node:fs'

// Fields of /proc/<pid>/stat after the command's closing parenthesis; the start time is the 22nd of all.
const startTimeField = 19

/** `<pid>:<start time in clock ticks since boot>`: unlike a pid alone, never used twice in one boot. */
export function processIdentity(): string {
  return `${process.pid}:${startTime(process.pid) ?? 'unknown'}`
}

/** False only where it is certain: an unreadable or foreign form counts as alive. */
export function isProcessAlive(identity: string): boolean {
  const [pid, started] = identity.split(':')
  if (pid === undefined || started === undefined || started === 'unknown') return true
  return startTime(Number(pid)) === started
}

function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command may itself hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[startTimeField]
  } catch {
    return undefined
  }
}
