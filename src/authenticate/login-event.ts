// What is told of an attempt to log in: enough to answer who, from where and why, never a secret.

import type { ClientCertificate } from '../http/client-certificate.ts'
import type { AuthResult } from '../telemetry/auth-counts.ts'
import { looksLikeSecret, secretPrefixes } from './token/secret-text.ts'

/** What was shown; `unknown` where it could not be read. */
export type LoginMethod = 'basic' | 'ldap' | 'oidc' | 'token' | 'api-key' | 'gateway' | 'unknown'

/** For the log and the audit log. Never carries a password, a token or a key. */
export interface LoginEvent {
  readonly method: LoginMethod
  readonly result: AuthResult
  readonly reason: string
  readonly id: string | null
  readonly username: string | null
  readonly address: string
  /** Of the connection, whoever it stands for: `CN=…, O=…`, at most 512 characters. */
  readonly certificateSubject: string | null
  /** The OIDC provider; null also where a token named none that is known. */
  readonly provider: string | null
  /** Of a token its `jti`, of an API key its id; null where it says none that can be believed. */
  readonly tokenId: string | null
}

const subjectLengthMax = 512
// So the base64 of `{"` begins.
const jwtForm = /^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/

/** As it was typed; but some clients put an API key or a token in its place, which must not be shown. */
export function shownUsername(username: string | null): string | null {
  if (username === null) return null
  if (looksLikeSecret(username)) return `${secretPrefixes['api-key']}…`
  return jwtForm.test(username) ? 'eyJ…' : username
}

/** Null where none was shown. Source: RFC 4514 §2.4 for what is escaped. */
export function subjectOf(certificate: ClientCertificate | undefined): string | null {
  if (certificate === undefined) return null
  const { commonNames, organizations } = certificate
  const parts = [
    ...commonNames.map((name) => `CN=${escaped(name)}`),
    ...organizations.map((name) => `O=${escaped(name)}`),
  ]
  return parts.join(', ').slice(0, subjectLengthMax)
}

function escaped(value: string): string {
  return value.replaceAll(/[\\,+"<>;=]/g, '\\$&')
}
