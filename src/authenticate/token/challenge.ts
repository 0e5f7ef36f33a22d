// How a client is told where to get a token, in the words that Docker's clients read.

import type { OciError } from '../../oci/error.ts'
import { challenge } from '../challenge.ts'
import { TokenRefusal } from '../oidc/contract.ts'
import {
  type ChallengeError,
  type Challenges,
  InsufficientScope,
  RegistryTokenRefusal,
  type TokenServiceConfig,
} from './contract.ts'
import { scopeFor } from './scope.ts'

/**
 * `service` is undefined where there is no token service. One challenge only: some clients read the
 * first header alone, and one of the conformance suite's the last scheme in it.
 * Source: distribution docs/content/spec/auth/token.md; RFC 6750 §3.
 */
export function createChallenges(
  service: Pick<TokenServiceConfig, 'realm' | 'service'> | undefined,
): Challenges {
  const [, basic] = challenge
  if (service === undefined) return { areForTokens: false, challengeFor: () => basic }
  return {
    areForTokens: true,
    challengeFor: (action, origin, error) => {
      // Who is asked for a password here must not be sent for a token.
      if (action?.kind === 'get-token') return basic
      const realm = service.realm ?? tokenUrl(origin())
      if (realm === undefined) return basic
      const scope = action === undefined ? undefined : scopeFor(action)
      const parts = [
        `realm="${realm}"`,
        `service="${service.service}"`,
        ...(scope === undefined ? [] : [`scope="${scope}"`]),
        ...(error === undefined ? [] : [`error="${error}"`]),
      ]
      return `Bearer ${parts.join(',')}`
    },
  }
}

/** What a client is to be told of the refusal, besides where to get a token. */
export function challengeErrorOf({ cause }: OciError): ChallengeError | undefined {
  if (cause instanceof InsufficientScope) return 'insufficient_scope'
  const isOfToken = cause instanceof RegistryTokenRefusal || cause instanceof TokenRefusal
  return isOfToken ? 'invalid_token' : undefined
}

// Nothing that could end the quotes of the challenge, or name another place than a host.
const hostForm = /^(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/

/** The origin that the client used; undefined where its Host header names none. */
export function originOf(host: string, isSecure: boolean): string | undefined {
  return hostForm.test(host) ? `${isSecure ? 'https' : 'http'}://${host}` : undefined
}

function tokenUrl(origin: string | undefined): string | undefined {
  return origin === undefined ? undefined : `${origin}/token`
}
