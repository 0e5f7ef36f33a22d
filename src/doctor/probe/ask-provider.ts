// Asks a provider of tokens for its keys, and whether it answers about tokens.
import type { OidcConfig } from '../../authenticate/oidc/contract.ts'
import { TokenRefusal } from '../../authenticate/oidc/contract.ts'
import { fetchKeys } from '../../authenticate/oidc/fetch-keys.ts'
import { Introspector } from '../../authenticate/oidc/introspect.ts'
import type { SkewFacts } from '../check/clock.ts'
import type { ServiceFacts } from '../check/services.ts'
import { type Asked, factsOf, patienceMs, reasonOf } from './ask.ts'

const remedy =
  'see that it can be reached, that server_ca_bundle is the CA of its certificate, and that issuer is written as it writes it'
const askedRemedy =
  'see that introspection_url is right, and that it knows introspection_client_id and its secret'

/** `onClock` hears what its clock says, where it tells. */
export function askProvider(
  config: OidcConfig,
  onClock: (skew: SkewFacts) => void,
): Promise<ServiceFacts> {
  const { name, issuer, introspectionUrl } = config
  // Three requests at most share the time.
  const httpTimeoutMs = Math.min(config.httpTimeoutMs, Math.floor(patienceMs / 3))
  const bounded = { ...config, httpTimeoutMs }
  const ask = async (): Promise<Asked> => {
    const abort = new AbortController()
    const { keySet, clockOffsetMs } = await fetchKeys(bounded, abort, Date.now)
    if (clockOffsetMs !== undefined) {
      onClock({ source: issuer, aheadMs: clockOffsetMs, fault: undefined })
    }
    const keys = keySet.size
    if (keys === 0) return { reason: 'none of its keys can be used', remedy }
    if (introspectionUrl === undefined) return `gives ${keys} keys`
    const reason = await introspectionFault(bounded, introspectionUrl)
    if (reason !== undefined) return { reason, remedy: askedRemedy }
    return `gives ${keys} keys and answers about tokens`
  }
  return factsOf({ kind: 'oidc', name, url: issuer }, ask, remedy)
}

// It says of a token that it never made that it does not count: so it answers.
async function introspectionFault(config: OidcConfig, url: string): Promise<string | undefined> {
  const log = { info: () => undefined, warn: () => undefined }
  const introspector = new Introspector({ config, url, elapsed: () => performance.now(), log })
  try {
    await introspector.check('keelson-doctor')
    return `${url} says that a token counts which nobody made`
  } catch (error) {
    const { cause } = error as Error
    if (cause instanceof TokenRefusal) return undefined
    return cause instanceof Error ? cause.message : reasonOf(error)
  } finally {
    await introspector.close()
  }
}
