// How many files this process may still open. A connection is one, a blob that is read another, and where
// none is left even connections are not accepted any more.

import { readdir, readFile, stat } from 'node:fs/promises'

// What the stores and a few requests need at any moment.
const spareMin = 16

/** Resolves with what is well. Errors: Error where hardly any is left. */
export async function lookAtOpenFiles(process = '/proc/self'): Promise<string> {
  const limits = await readFile(`${process}/limits`, 'utf8').catch(unlessExhausted)
  const limit = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.NaN)
  if (Number.isNaN(limit)) return 'this system does not tell'
  const folder = `${process}/fd`
  // Linux tells the count as the size of the folder from 6.2 on.
  const { size } = await stat(folder)
  const open = size > 0 ? size : (await readdir(folder).catch(unlessExhausted)).length
  const text = `${open} of ${limit} open`
  if (limit - open < spareMin)
    throw new Error(`${text}: raise LimitNOFILE, or lower limits.connections_max`)
  return text
}

/** Where there is no such file, this system has none. */
function unlessExhausted(error: NodeJS.ErrnoException): string {
  if (error.code === 'EMFILE' || error.code === 'ENFILE') {
    throw new Error('none is left: raise LimitNOFILE, or lower limits.connections_max')
  }
  return ''
}
