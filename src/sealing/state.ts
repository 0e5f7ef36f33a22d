// The state of a hash on its way from one thread to another: up to 127 bytes of a body are in it as they came, so it is
// encrypted with the key of the file that has them, too.

import type { KeyObject } from 'node:crypto'
import { decrypt, encrypt } from './box.ts'

const label = Buffer.from('keelson state 1', 'latin1')
const tag = 'sealed/1:'

/** Text for a record; other text each time. */
export function hideState(key: KeyObject, state: string): string {
  return tag + Buffer.concat(encrypt(key, label, Buffer.from(state))).toString('base64')
}

/** Undefined where it is of another key, was changed, or is not hidden at all. */
export function showState(key: KeyObject, hidden: string): string | undefined {
  if (!hidden.startsWith(tag)) return undefined
  try {
    return decrypt(key, label, Buffer.from(hidden.slice(tag.length), 'base64')).toString()
  } catch {
    return undefined
  }
}
