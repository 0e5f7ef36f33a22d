// Errors of the database, in the four kinds of storage, and what may be told of them.

import { StorageError } from '../../error.ts'

// SQLSTATE classes. Source: PostgreSQL, Appendix A; distributed engines answer the same 40001.
const serializationFailure = '40001'
const deadlockDetected = '40P01'
const diskFull = '53100'
// Of a log-in, of the server as a whole, or of a time that is up: their texts name no values.
const tellable = /^(?:08|25|28|3D|40|42501|53|55|57)/

function codeOf(cause: unknown): string | undefined {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  return typeof code === 'string' ? code : undefined
}

/** Whether the same transaction may succeed when it is run again: nothing of it remains. */
export function isConflict(cause: unknown): boolean {
  const code = codeOf(cause)
  return code === serializationFailure || code === deadlockDetected
}

/** Whether the database itself has refused a statement, in a connection that goes on. */
export function isRefusal(cause: unknown): boolean {
  const code = codeOf(cause)
  // Of five characters; 57P0x are those of a server that goes down, 08xxx of a connection that is lost.
  return code !== undefined && /^(?!57P|08)[0-9A-Z]{5}$/.test(code)
}

/** Whether it is the values that the database refuses: another transaction need not fail with them. */
export function isOfItsValues(cause: unknown): boolean {
  // Data exception, constraint, limit of a program. A time that is up is nobody's in particular.
  return /^(?:22|23|54)[0-9A-Z]{3}$/.test(codeOf(cause) ?? '')
}

/**
 * A StorageError as it is; everything else as one. It holds nothing of the driver's own error, which may
 * carry rows, and rows may be secrets.
 */
export function storageFault(cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause
  const code = codeOf(cause)
  const kind = code === diskFull ? 'full' : 'unavailable'
  return new StorageError(kind, `metadata store: PostgreSQL: ${reasonOf(cause, code)}`)
}

function reasonOf(cause: unknown, code: string | undefined): string {
  const message = cause instanceof Error ? cause.message : 'unknown'
  const told = message === '' ? 'no connection' : message
  if (code === undefined) return told
  if (!/^[0-9A-Z]{5}$/.test(code)) return told.includes(code) ? told : `${told} (${code})`
  return tellable.test(code) ? `${told} (${code})` : `it refused a statement (${code})`
}
