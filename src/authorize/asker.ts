// For whom a guard is asked, so that nobody takes the turns of others.

import { addressGroup } from '../http/address-group.ts'
import type { Question } from './guard.ts'

/** The user name; without one the address, of IPv6 the /64. */
export function askerOf({ identity, asked }: Question): string {
  const { username } = identity
  return username === null ? addressGroup(asked.clientIp()) : `user ${username}`
}
