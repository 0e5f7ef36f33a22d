// Overwrites the secrets of a configuration that is no longer in force.

import type { Config } from '../config/schema.ts'
import { Secret } from '../config/secret.ts'

/**
 * Those of `old` whose values are not in `kept` too. After that they cannot be revealed. An equal one is
 * left alone: what was taken over from before may hold it, and its bytes are in memory anyway.
 */
export function wipeSecrets(old: Config, kept: Config): void {
  const keeps = [...secretsOf(kept)]
  for (const secret of secretsOf(old)) {
    if (!keeps.some((each) => each === secret || each.equals(secret))) secret.wipe()
  }
}

function secretsOf(value: unknown, found: Set<Secret> = new Set()): ReadonlySet<Secret> {
  if (value instanceof Secret) found.add(value)
  else if (typeof value === 'object' && value !== null) {
    for (const part of Object.values(value)) secretsOf(part, found)
  }
  return found
}
