// What cannot work, or must not be done, of an [auth.ldap.<name>].

import { FilterParser } from 'ldapts'
import { parseLdapUrl } from './connect.ts'
import type { LdapConfig } from './contract.ts'
import { fillFilter, placesOf } from './template.ts'

/** One key, as TOML has it, and what is wrong with it. */
export interface LdapProblem {
  readonly key: string
  readonly message: string
}

const attributeName = /^[A-Za-z][A-Za-z0-9-]{0,127}$/
// Each place is the value, or a part of the value, of one attribute.
const dnPart = /^\s*(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)\s*=[^=]+$/
const filterPlace = /=[^()=]*\{[a-z]+\}/g
const usernameIsThere = 'expected {username} in it: without it every name is the same user'

/** Empty where the directory can be asked. Reads no file and opens no connection. */
export function ldapProblems(config: LdapConfig): readonly LdapProblem[] {
  const problems: LdapProblem[] = []
  const refuse = (key: string, message: string | undefined): void => {
    if (message !== undefined) problems.push({ key, message })
  }
  const { userDn, userBase, userFilter, groupBase, groupFilter, bindDn, bindPassword } = config
  const transport = transportProblem(config)
  if (transport !== undefined) problems.push(transport)
  const isPair =
    (config.clientCertificate === undefined) === (config.clientPrivateKey === undefined)
  refuse(
    'client_private_key',
    isPair ? undefined : 'expected client_certificate beside it, or neither',
  )
  if (bindDn !== undefined && bindPassword === undefined) {
    refuse(
      'bind_password',
      'expected one beside bind_dn: without it a directory takes anybody for nobody',
    )
  }
  if (bindDn === undefined && bindPassword !== undefined) {
    refuse('bind_dn', 'expected one beside bind_password')
  }
  refuse('bind_password', bindPassword?.reveal().includes('\0') ? 'expected no NUL' : undefined)
  // A simple bind with such a text would be taken for another kind of bind.
  refuse('bind_dn', bindDn === undefined || /[=@\\]/.test(bindDn) ? undefined : 'expected a DN')
  if ((userDn === undefined) === (userBase === undefined)) {
    refuse('user_base', 'expected either user_base or user_dn')
  }
  if (userDn !== undefined) refuse('user_dn', dnProblem(userDn))
  else refuse('user_filter', filterProblem(userFilter, ['username'], usernameIsThere))
  if (groupBase !== undefined) {
    const message = 'expected {dn} or {username} in it: without it everybody is in every group'
    refuse('group_filter', filterProblem(groupFilter, ['dn', 'username'], message))
  }
  for (const [key, name] of [
    ['username_attribute', config.usernameAttribute],
    ['group_attribute', config.groupAttribute],
  ] as const) {
    refuse(key, attributeName.test(name) ? undefined : 'expected the name of an attribute')
  }
  refuse('username_attribute', isDn(config.usernameAttribute) ? 'expected an attribute' : undefined)
  const isEnough = config.connectionsMax >= 2
  refuse('connections_max', isEnough ? undefined : 'expected at least 2: a user binds on its own')
  return problems
}

/** Whether the name of the entry itself is asked for, which is no attribute. */
export function isDn(attribute: string): boolean {
  return attribute.toLowerCase() === 'dn'
}

function transportProblem({ url, startTls }: LdapConfig): LdapProblem | undefined {
  const address = parseLdapUrl(url)
  if (address === undefined) {
    return { key: 'url', message: 'expected ldaps://HOST[:PORT] or ldap://HOST[:PORT]' }
  }
  if (address.isTls && startTls) {
    return { key: 'start_tls', message: 'expected an ldap:// URL: ldaps:// is TLS from the start' }
  }
  if (address.isTls || startTls || address.isLoopback) return undefined
  const message = 'expected ldaps://, or start_tls: passwords would cross the network in clear text'
  return { key: 'url', message }
}

function dnProblem(template: string): string | undefined {
  const places = placesOf(template)
  if (places.length === 0) return usernameIsThere
  const stranger = places.find((name) => name !== 'username')
  if (stranger !== undefined) return `expected {username} alone; found {${stranger}}`
  const parts = template.split(/(?<!\\)[,+]/)
  const isFit = parts.every((part) => dnPart.test(part))
  return isFit ? undefined : 'expected a DN, such as uid={username},ou=people,dc=example,dc=com'
}

function filterProblem(
  template: string,
  allowed: readonly string[],
  lacking: string,
): string | undefined {
  const places = placesOf(template)
  const stranger = places.find((name) => !allowed.includes(name))
  if (stranger !== undefined) return `expected no place such as {${stranger}}`
  if (places.length === 0) return lacking
  if (template.match(filterPlace)?.length !== places.length) {
    return 'expected each place alone in the value of its part'
  }
  try {
    FilterParser.parseString(fillFilter(template, { dn: 'uid=a,dc=b', username: 'a' }))
    return undefined
  } catch (error) {
    return `expected a filter: ${error instanceof Error ? error.message : 'it cannot be read'}`
  }
}
