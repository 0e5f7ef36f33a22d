// Names a process in records, so that another one can tell whether it still runs.

import { ownIdentity, startTimeOf } from './process-table.ts'

/** Unlike a pid alone, never used twice, also after a restart of the host and beside containers. */
export function processIdentity(): string {
  const { pid, startTime, bootId, pidNamespace } = ownIdentity()
  return [pid, startTime, bootId, pidNamespace].join('/')
}

/**
 * False only where it is certain, since whoever takes over from a living process mixes its bytes with
 * that one's: what is unreadable, of an unknown form, or in a container of its own counts as alive.
 */
export function isProcessAlive(identity: string): boolean {
  const [pid = '', startTime = '', bootId = '', pidNamespace = ''] = identity.split('/')
  const own = ownIdentity()
  if (startTime === '' || bootId === '' || own.bootId === '') return true
  if (bootId !== own.bootId) return false
  if (pidNamespace === '' || pidNamespace !== own.pidNamespace) return true
  const found = startTimeOf(Number(pid))
  return found === 'unknown' || found === startTime
}

/** False where `isProcessAlive` answers true for want of knowledge: in a container of its own, or unreadable. */
export function canTellLife(identity: string): boolean {
  const [pid = '', startTime = '', bootId = '', pidNamespace = ''] = identity.split('/')
  const own = ownIdentity()
  if (startTime === '' || bootId === '' || own.bootId === '') return false
  if (bootId !== own.bootId) return true
  if (pidNamespace === '' || pidNamespace !== own.pidNamespace) return false
  return startTimeOf(Number(pid)) !== 'unknown'
}
