// The body of POST /token, an OAuth2 form.

import { OciError } from '../../oci/error.ts'
import { parseScopes, scopesMax } from '../../oci/scope.ts'
import type { TokenQuery } from '../../route/action.ts'
import type { BodyRoom } from '../body-room.ts'
import { withBody } from '../collect-body.ts'
import type { OperationRequest } from '../registry.ts'

export type TokenForm = { readonly query: TokenQuery } & (
  | { readonly grant: 'password'; readonly username: string; readonly password: string }
  | { readonly grant: 'refresh-token'; readonly refreshToken: string }
)

const bytesMax = 64 * 1024
const clientIdLengthMax = 128
const formType = 'application/x-www-form-urlencoded'
const once = ['grant_type', 'username', 'password', 'refresh_token', 'client_id', 'access_type']
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Limits: 64 KiB. Errors: OciError REQUEST_INVALID, CONTENT_TOO_LARGE, UNAVAILABLE without memory for it.
 * Source: distribution docs/content/spec/auth/oauth.md; RFC 6749 §3.2, §4.3.2 and §6.
 */
export async function readTokenForm(request: OperationRequest, room: BodyRoom): Promise<TokenForm> {
  const [type = ''] = request.header('content-type').split(';')
  if (type.trim().toLowerCase() !== formType) {
    throw new OciError('REQUEST_INVALID', { message: `expected the content type ${formType}` })
  }
  const text = await withBody(request.body, { bytesMax, room }, decoded)
  const form = new URLSearchParams(text)
  const repeated = once.find((name) => form.getAll(name).length > 1)
  if (repeated !== undefined) {
    throw new OciError('REQUEST_INVALID', { message: `${repeated} is there more than once` })
  }
  const query = queryOf(form)
  switch (form.get('grant_type')) {
    case 'password':
      return {
        query,
        grant: 'password',
        username: required(form, 'username'),
        password: required(form, 'password'),
      }
    case 'refresh_token':
      return { query, grant: 'refresh-token', refreshToken: required(form, 'refresh_token') }
    default:
      throw new OciError('REQUEST_INVALID', {
        message: 'grant_type must be password or refresh_token',
      })
  }
}

function queryOf(form: URLSearchParams): TokenQuery {
  const scopes = parseScopes(form.getAll('scope'), 'names')
  if (scopes === undefined) {
    throw new OciError('REQUEST_INVALID', { message: `at most ${scopesMax} scopes in one token` })
  }
  const clientId = form.get('client_id')
  return {
    scopes,
    offline: form.get('access_type') === 'offline',
    ...(clientId === null ? {} : { clientId: clientId.slice(0, clientIdLengthMax) }),
  }
}

function decoded(body: Uint8Array): string {
  try {
    return utf8.decode(body)
  } catch {
    throw new OciError('REQUEST_INVALID', { message: 'the form is not UTF-8' })
  }
}

function required(form: URLSearchParams, name: string): string {
  const value = form.get(name)
  if (value !== null && value !== '') return value
  throw new OciError('REQUEST_INVALID', { message: `${name} is missing` })
}
