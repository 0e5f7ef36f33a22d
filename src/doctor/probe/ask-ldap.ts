// Asks an LDAP directory as who searches there, and tells how it is spoken to.
import { parseLdapUrl } from '../../authenticate/ldap/connect.ts'
import type { LdapConfig } from '../../authenticate/ldap/contract.ts'
import { type LdapProbe, probeLdap } from '../../authenticate/ldap/probe.ts'
import type { ServiceFacts } from '../check/services.ts'
import { factsOf, patienceMs } from './ask.ts'

const remedies: Readonly<Record<LdapProbe['step'], string>> = {
  configuration: 'correct that key',
  connection:
    'see that the directory runs and can be reached, that server_ca_bundle is the CA of its certificate, and that bind_dn and bind_password are right',
  user_base: 'correct user_base, or let bind_dn read it',
  group_base: 'correct group_base, or let bind_dn read it',
}

export function askLdap(config: LdapConfig): Promise<ServiceFacts> {
  const { name, url } = config
  const timeoutMs = Math.min(config.timeoutMs, patienceMs)
  const service = { kind: 'ldap', name, url, doubts: doubtsOf(config) } as const
  return factsOf(
    service,
    async () => {
      const fault = await probeLdap({ ...config, timeoutMs })
      if (fault === undefined) return 'answers'
      return { reason: fault.reason, remedy: remedies[fault.step] }
    },
    remedies.connection,
  )
}

function doubtsOf({ url, startTls, userBase, bindDn }: LdapConfig): ServiceFacts['doubts'] {
  const isEncrypted = startTls || parseLdapUrl(url)?.isTls === true
  const isAnonymous = userBase !== undefined && bindDn === undefined
  const clear = {
    detail: `${url} is spoken to in clear text, on this host alone`,
    fix: { remedy: 'where something else than the directory listens there, use ldaps://' },
  }
  const nobody = {
    detail: 'users are searched for without a bind_dn, by what anybody may see',
    fix: { remedy: 'give it an account that may read users and groups, and nothing else' },
  }
  return [...(isEncrypted ? [] : [clear]), ...(isAnonymous ? [nobody] : [])]
}
