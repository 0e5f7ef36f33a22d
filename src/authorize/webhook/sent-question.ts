// A question as the headers of a request: what of it is sent, and how odd characters travel.

import type { Identity } from '../../authenticate/identity.ts'
import type { Action } from '../../route/action.ts'
import type { Asked, Question } from '../guard.ts'

/** Names in lower case. */
export type SentHeaders = Readonly<Record<string, string>>

/** Thrown where a part of a question cannot be sent; what is left out of it could be what matters. */
export class Unsendable extends Error {
  override readonly name: string = 'Unsendable'
}

/** Units: characters of all names and values; more than servers take. */
const lengthMax = 32 * 1024

/**
 * All that is sent, one line for each header. No value holds a line break, so no two questions that
 * differ read the same. `forwarded`: lower-case names of the request's own headers to pass on.
 * Errors: Unsendable.
 */
export function questionText(
  { identity, action, asked }: Question,
  clientIp: string,
  forwarded: readonly string[],
): string {
  const ofAll = remembered(actionTexts, action, ofAction)
  let text = ofRequest(asked, clientIp) + ofAll + remembered(identityTexts, identity, ofIdentity)
  for (const name of forwarded) {
    const value = asked.header(name)
    if (value === '') continue
    if (!isFieldValue(value)) throw new Unsendable(`the header ${name} holds odd characters`)
    text += line(name, value)
  }
  if (text.length > lengthMax) throw new Unsendable(`it is longer than ${lengthMax} bytes`)
  return text
}

/** The headers that `questionText` wrote down. */
export function sentHeaders(text: string): SentHeaders {
  const headers: Record<string, string> = {}
  for (const each of text.split('\n').slice(0, -1)) {
    const colon = each.indexOf(':')
    headers[each.slice(0, colon)] = each.slice(colon + 1)
  }
  return headers
}

function line(name: string, value: string): string {
  return `${name}:${value}\n`
}

function ofRequest(asked: Asked, clientIp: string): string {
  const { method, path, query, isSecure } = asked
  const host = asked.header('host')
  return (
    line('x-forwarded-method', method) +
    line('x-forwarded-proto', isSecure ? 'https' : 'http') +
    line('x-forwarded-uri', visible(query === '' ? path : `${path}?${query}`)) +
    (host === '' ? '' : line('x-forwarded-host', visible(host))) +
    (clientIp === '' ? '' : line('x-forwarded-for', visible(clientIp)))
  )
}

function ofAction(action: Action): string {
  let text = line('x-registry-action', action.kind)
  if ('repository' in action) text += line('x-registry-namespace', action.repository)
  if ('reference' in action) {
    const { reference } = action
    text += line(
      'x-registry-reference',
      reference.kind === 'tag' ? reference.tag : reference.digest,
    )
  }
  if ('digest' in action && action.digest !== undefined) {
    text += line('x-registry-digest', action.digest)
  }
  if (action.kind === 'put-manifest' && action.tags.length > 0) {
    text += line('x-registry-tags', list(action.tags))
  }
  if (action.kind === 'mount-blob' && action.from !== undefined) {
    text += line('x-registry-from', action.from)
  }
  return text
}

function ofIdentity({ id, username, groups, certificate, oidc }: Identity): string {
  let text = ''
  if (username !== null) text += line('x-registry-username', single(username))
  if (id !== null) text += line('x-registry-identity-id', single(id))
  if (groups.length > 0) text += line('x-registry-groups', list(groups))
  const { commonNames = [], organizations = [] } = certificate ?? {}
  if (commonNames.length > 0) text += line('x-registry-certificate-cn', list(commonNames))
  if (organizations.length > 0) text += line('x-registry-certificate-o', list(organizations))
  if (oidc === null) return text
  text += line('x-registry-oidc-provider', single(oidc.providerName))
  const { sub } = oidc.claims
  return typeof sub === 'string' ? text + line('x-registry-oidc-subject', single(sub)) : text
}

// Both come back again and again, and neither ever changes.
const actionTexts = new WeakMap<Action, string>()
const identityTexts = new WeakMap<Identity, string>()

function remembered<K extends object>(
  known: WeakMap<K, string>,
  key: K,
  make: (key: K) => string,
): string {
  const before = known.get(key)
  if (before !== undefined) return before
  const made = make(key)
  known.set(key, made)
  return made
}

// A value that begins or ends with a space loses it on the way. Whoever undoes percent encoding gets
// back what was meant.
const oddInSingle = /[^\x20-\x7e]|%|^ | $/gu
const oddInList = /[^\x20-\x7e]|[%,]|^ | $/gu
// Percent signs are left as they are, since a URI has its own.
const oddInUri = /[^\x21-\x7e]/gu

function single(value: string): string {
  return encode(value, oddInSingle)
}

function list(values: readonly string[]): string {
  return values.map((value) => encode(value, oddInList)).join(',')
}

function visible(value: string): string {
  return encode(value, oddInUri)
}

// Nearly all are plain, and to look is cheaper than to replace.
const plain = /^[\x21-\x24\x26-\x2b\x2d-\x7e]*$/

function encode(value: string, odd: RegExp): string {
  return plain.test(value) ? value : value.replace(odd, encodeOne)
}

function encodeOne(character: string): string {
  try {
    const encoded = encodeURIComponent(character)
    if (encoded !== character) return encoded
    return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  } catch {
    throw new Unsendable('it holds half a character')
  }
}

// Source: RFC 9110 §5.5.
function isFieldValue(value: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value)
}
