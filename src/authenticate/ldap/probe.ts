// Whether a directory could be asked now, as far as that shows without a user's password.

import { ldapProblems } from './check.ts'
import { parseLdapUrl } from './connect.ts'
import type { LdapConfig } from './contract.ts'
import { Directory } from './directory.ts'
import { LdapFault, type Session } from './session.ts'

/** The first thing that is wrong; undefined where nothing is. Fit to be shown; holds no secret. */
export interface LdapProbe {
  readonly step: 'configuration' | 'connection' | 'user_base' | 'group_base'
  readonly reason: string
}

/** Connects, binds as who searches, and looks at both bases. Never throws. Limits: `timeoutMs`. */
export async function probeLdap(config: LdapConfig): Promise<LdapProbe | undefined> {
  const [problem] = ldapProblems(config)
  const address = parseLdapUrl(config.url)
  if (problem !== undefined || address === undefined) {
    return { step: 'configuration', reason: `${problem?.key}: ${problem?.message}` }
  }
  const elapsed = (): number => performance.now()
  const directory = new Directory({ config, address, elapsed, onUnfit: () => undefined })
  const deadline = new AbortController()
  const { timeoutMs } = config
  const late = new LdapFault(`no answer in ${timeoutMs} ms`)
  const timer = setTimeout(() => deadline.abort(late), timeoutMs)
  let step: LdapProbe['step'] = 'connection'
  try {
    const session = await directory.openLookup(deadline.signal)
    try {
      for (const [next, base] of basesOf(config)) {
        step = next
        await lookAt(session, base, deadline.signal)
      }
    } finally {
      await session.close()
    }
    return undefined
  } catch (error) {
    return { step, reason: error instanceof Error ? error.message : String(error) }
  } finally {
    clearTimeout(timer)
  }
}

function basesOf(config: LdapConfig): ReadonlyArray<readonly ['user_base' | 'group_base', string]> {
  const { userBase, userDn, groupBase, bindDn } = config
  // Then it is each user that looks, and none is here.
  if (userDn !== undefined && bindDn === undefined) return []
  return [
    ...(userBase === undefined ? [] : [['user_base', userBase] as const]),
    ...(groupBase === undefined ? [] : [['group_base', groupBase] as const]),
  ]
}

async function lookAt(session: Session, base: string, signal: AbortSignal): Promise<void> {
  const filter = '(objectClass=*)'
  const question = { base, filter, attribute: '', entriesMax: 2, timeLimit: 10 }
  const { entries } = await session.search({ ...question, scope: 'base' }, signal)
  if (entries.length === 0) throw new LdapFault(`${base} is not there, or not for who searches`)
}
