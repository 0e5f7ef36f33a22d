// What authentication knows of LDAP directories: a user name and a password go in, a user comes out.

import type { Secret } from '../../config/secret.ts'
import type { PasswordSource } from '../basic.ts'

/** One `[auth.ldap.<name>]`. Files are paths, read at each connection, since others renew them. */
export interface LdapConfig {
  readonly name: string
  /** `ldap://` or `ldaps://`, a host and perhaps a port. */
  readonly url: string
  readonly startTls: boolean
  /** PEM; these CAs alone are trusted for the directory. Undefined: those of Node.js. */
  readonly serverCaBundle: string | undefined
  /** PEM, both or neither. */
  readonly clientCertificate: string | undefined
  readonly clientPrivateKey: string | undefined
  /** Who searches; undefined: nobody in particular. */
  readonly bindDn: string | undefined
  readonly bindPassword: Secret | undefined
  /** A DN with `{username}`; undefined: the entry is searched for. */
  readonly userDn: string | undefined
  readonly userBase: string | undefined
  /** With `{username}`. */
  readonly userFilter: string
  /** The attribute of the user's entry that names the user. */
  readonly usernameAttribute: string
  /** Undefined: no groups. */
  readonly groupBase: string | undefined
  /** With `{dn}`, `{username}` or both. */
  readonly groupFilter: string
  readonly groupAttribute: string
  /** For each login as a whole, its wait for a turn included. */
  readonly timeoutMs: number
  /** Open at a time, idle ones included; at least 2. */
  readonly connectionsMax: number
}

export interface LdapLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface LdapParts {
  /** Monotonic, in ms. */
  readonly elapsed: () => number
  readonly log: LdapLog
  /** Logins that may wait for a turn at one directory; default 256. */
  readonly waitingMax?: number
}

export interface LdapStatus {
  readonly name: string
  /** Connections open now. */
  readonly connections: number
  /** Logins that wait for a turn. */
  readonly waiting: number
  /** Undefined before the first login has ended. */
  readonly isLastOk: boolean | undefined
  /** Logins that the directory gave a verdict on, whichever. */
  readonly verdicts: number
  /** Logins that ended without one: too slow, away, unreadable, too many at a time. */
  readonly faults: number
}

/** A directory as a source of users: its `check` never tells a fault from a wrong password by accident. */
export interface LdapDirectory extends PasswordSource {
  status(): LdapStatus
  /** Ends logins under way, as unavailable, and all connections. */
  close(): void
}
