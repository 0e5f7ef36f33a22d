// Query parameters that actions carry, parsed and bounded.

import { type Digest, type DigestAlgorithm, parseDigest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { parseRepositoryName, type RepositoryName } from '../oci/name.ts'
import { parseScopes, scopesMax } from '../oci/scope.ts'
import { parseTag, type Tag } from '../oci/tag.ts'
import type { ListPage, TokenQuery } from './action.ts'

const tagsMax = 64
const listLimitMax = 1_000_000
const clientIdLengthMax = 128

export function listPage(query: URLSearchParams): ListPage {
  const last = query.get('last')
  const n = query.get('n')
  if (n !== null && !/^\d{1,9}$/.test(n)) {
    throw new OciError('PAGINATION_INVALID', { message: 'n must be a non-negative integer' })
  }
  return {
    ...(n === null ? {} : { limit: Math.min(Number(n), listLimitMax) }),
    ...(last === null || last === '' ? {} : { last }),
  }
}

/**
 * Errors: OciError REQUEST_INVALID for more than `scopesMax`.
 * Source: distribution docs/content/spec/auth/token.md.
 */
export function tokenQuery(query: URLSearchParams): TokenQuery {
  const scopes = parseScopes(query.getAll('scope'), 'names')
  if (scopes === undefined) {
    throw new OciError('REQUEST_INVALID', { message: `at most ${scopesMax} scopes in one token` })
  }
  const clientId = query.get('client_id')
  return {
    scopes,
    offline: query.get('offline_token') === 'true',
    ...(clientId === null ? {} : { clientId: clientId.slice(0, clientIdLengthMax) }),
  }
}

export function digestParameter(query: URLSearchParams, name: string): Digest | undefined {
  const text = query.get(name)
  if (text === null) return undefined
  const digest = parseDigest(text)
  if (digest === undefined) {
    throw new OciError('DIGEST_INVALID', {
      message: `${name} must be sha256:<64 hex> or sha512:<128 hex>, in lower case`,
      detail: { [name]: text.slice(0, 160) },
    })
  }
  return digest
}

export function algorithmParameter(query: URLSearchParams): DigestAlgorithm {
  const text = query.get('digest-algorithm')
  if (text === null || text === 'sha256' || text === 'sha512') return text ?? 'sha256'
  throw new OciError('DIGEST_INVALID', {
    message: 'digest-algorithm must be sha256 or sha512',
    detail: { 'digest-algorithm': text.slice(0, 64) },
  })
}

export function fromParameter(query: URLSearchParams): RepositoryName | undefined {
  const text = query.get('from')
  if (text === null || text === '') return undefined
  const name = parseRepositoryName(text)
  if (name === undefined) throw nameInvalid(text)
  return name
}

export function tagParameters(query: URLSearchParams): readonly Tag[] {
  const texts = query.getAll('tag')
  if (texts.length > tagsMax) {
    throw new OciError('TAG_INVALID', { message: `at most ${tagsMax} tags in one push` })
  }
  const tags = texts.map((text) => {
    const tag = parseTag(text)
    if (tag === undefined) throw tagInvalid(text)
    return tag
  })
  return [...new Set(tags)]
}

export function nameInvalid(text: string): OciError {
  return new OciError('NAME_INVALID', {
    message: 'a repository name is lower-case path components, 255 characters at most',
    detail: { name: text.slice(0, 256) },
  })
}

export function tagInvalid(text: string): OciError {
  return new OciError('TAG_INVALID', {
    message: 'a tag is [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}',
    detail: { tag: text.slice(0, 160) },
  })
}
