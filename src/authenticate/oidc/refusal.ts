// The two ways in which a token is not taken: it is wrong, or nobody can tell for now.

import { OciError } from '../../oci/error.ts'
import { challenge } from '../challenge.ts'
import { type TokenProblem, TokenRefusal } from './contract.ts'

/**
 * 401. The reply says nothing of the reason: who guesses must not learn how far a guess got. A Bearer
 * challenge would send Docker to its realm for a token, and there is no such place.
 */
export function refuse(problem: TokenProblem, provider: string | undefined): OciError {
  const cause = new TokenRefusal(problem, provider)
  return new OciError('UNAUTHORIZED', {
    message: 'the token is not valid',
    headers: [challenge],
    cause,
  })
}

/** 503; `reason` is for the log. Units: `retryAfterMs` in ms. */
export function unavailable(reason: string, retryAfterMs: number): OciError {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
  return new OciError('UNAVAILABLE', {
    headers: [['Retry-After', String(seconds)]],
    cause: new Error(reason),
  })
}

/** Of an error of a request: its own text, and what is behind it. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  return cause instanceof Error ? `${error.message}: ${cause.message}` : error.message
}
