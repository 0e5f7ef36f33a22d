// What is wrong with a backup, in a sentence for the operator.

/** The operator has to do something; nothing is wrong with the program. */
export class BackupError extends Error {
  override readonly name = 'BackupError'
}

export function systemCode(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : ''
}

/** The value, or undefined where there is nothing at that path. Errors: any other of the system, unchanged. */
export async function unlessAbsent<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

const noRoomCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** What an operator can do something about, in a sentence; others come back as they are. */
export function explainedFault(error: unknown, root: string): unknown {
  const code = systemCode(error)
  const { message } = error as Error
  if (noRoomCodes.has(code)) return new BackupError(`no room is left in ${root} (${message})`)
  const isDenied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
  return isDenied ? new BackupError(`${root} cannot be written to (${message})`) : error
}
