// Answers for one directory under test, with what it logged.
import type { LoginOutcome } from '../../../src/authenticate/basic.ts'
import type { LdapConfig, LdapDirectory } from '../../../src/authenticate/ldap/contract.ts'
import { openLdapDirectories } from '../../../src/authenticate/ldap/open.ts'

export interface Logged {
  readonly level: 'info' | 'warn'
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

const defaults: LdapConfig = {
  name: 'corp',
  url: 'ldap://127.0.0.1:1',
  startTls: false,
  serverCaBundle: undefined,
  clientCertificate: undefined,
  clientPrivateKey: undefined,
  bindDn: undefined,
  bindPassword: undefined,
  userDn: undefined,
  userBase: undefined,
  userFilter: '(uid={username})',
  usernameAttribute: 'uid',
  groupBase: undefined,
  groupFilter: '(member={dn})',
  groupAttribute: 'cn',
  timeoutMs: 5000,
  connectionsMax: 4,
}

export function ldapConfig(config: Partial<LdapConfig>): LdapConfig {
  return { ...defaults, ...config }
}

/** The caller closes it. */
export function openLdap(
  config: Partial<LdapConfig>,
  logged: Logged[] = [],
  waitingMax?: number,
): LdapDirectory {
  const note =
    (level: Logged['level']) =>
    (fields: object, message: string): void => {
      logged.push({ level, fields: fields as Logged['fields'], message })
    }
  const [directory] = openLdapDirectories([ldapConfig(config)], {
    elapsed: () => performance.now(),
    log: { info: note('info'), warn: note('warn') },
    ...(waitingMax === undefined ? {} : { waitingMax }),
  })
  if (directory === undefined) throw new Error('no directory')
  return directory
}

/** For `assert.rejects`, whose message should tell what came instead. */
export async function outcomeOf(login: Promise<LoginOutcome>): Promise<LoginOutcome> {
  const outcome = await login
  throw new Error(`not rejected: ${JSON.stringify(outcome)}`, { cause: outcome })
}
