// File calls of the event loop as promises, their errors as StorageError.

import { StorageError } from '../../error.ts'

type Settle<Value> = (error: NodeJS.ErrnoException | null, value: Value) => void

const noRoomCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

export function systemCode(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? ''
}

/** `what` says what was tried, for the operator. */
export function storageError(what: string, error: unknown): StorageError {
  if (error instanceof StorageError) return error
  const kind = noRoomCodes.has(systemCode(error)) ? 'full' : 'unavailable'
  return new StorageError(kind, `cannot ${what}: ${(error as Error).message}`, error)
}

// The callback forms cost about half of what node:fs/promises does, per call.
/** Rejects with the system's own error, whose code the caller may know how to read. */
export function fileCall<Value = void>(start: (settle: Settle<Value>) => void): Promise<Value> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error ? reject(error) : resolve(value)))
  })
}

/** Undefined where the error has one of these codes. Errors: any other, unchanged. */
export async function unlessCode<Value>(
  call: Promise<Value>,
  ...codes: readonly string[]
): Promise<Value | undefined> {
  try {
    return await call
  } catch (error) {
    if (codes.includes(systemCode(error))) return undefined
    throw error
  }
}
