// One connection to a directory, for one question at a time: binds and searches.

import type { Socket } from 'node:net'
import { Client } from 'ldapts'
import { Wire } from './wire.ts'

/** Of an entry what was asked for. */
export interface LdapEntry {
  readonly dn: string
  /** Of the attribute asked for; none where the entry has none that we may read. */
  readonly values: readonly string[]
}

export interface SearchQuestion {
  readonly base: string
  /** `base`: that entry alone; `sub`: with all below it. */
  readonly scope: 'base' | 'sub'
  readonly filter: string
  /** '' for none: the name of the entry is enough. */
  readonly attribute: string
  readonly entriesMax: number
  /** Units: seconds, a limit for the directory. */
  readonly timeLimit: number
}

export interface SearchAnswer {
  readonly entries: readonly LdapEntry[]
  /** The directory has more of them than it gave. */
  readonly isCut: boolean
}

export interface BindAnswer {
  /** 0 where the password is right. Source: RFC 4511 §4.1.9. */
  readonly code: number
  readonly isPasswordExpired: boolean
}

const sizeLimitExceeded = 4
// Names of SASL mechanisms, which the library would take for more than names.
const mechanisms: ReadonlySet<string> = new Set(['EXTERNAL', 'PLAIN', 'DIGEST-MD5', 'SCRAM-SHA-1'])
const farewellMs = 1000

/** A directory that could not be asked, or whose answer is none. */
export class LdapFault extends Error {
  override readonly name = 'LdapFault'
}

export class Session {
  readonly #wire: Wire
  readonly #client: Client
  readonly #closed: Promise<never>

  /** `socket` is connected, and verified where it is TLS. */
  constructor(socket: Socket) {
    const wire = new Wire(socket)
    this.#wire = wire
    this.#closed = new Promise((_resolve, reject) => {
      wire.once('close', () => reject(wire.fault ?? new LdapFault('the connection is closed')))
    })
    this.#closed.catch(() => undefined)
    let isTaken = false
    const createConnection = (): Socket => {
      // The library would connect again by itself, as nobody, and go on.
      if (isTaken) throw new LdapFault('the connection is closed')
      isTaken = true
      // As much of a socket as the library uses: see Wire.
      return wire as unknown as Socket
    }
    this.#client = new Client({ url: 'ldap://directory.invalid', createConnection })
  }

  get isOpen(): boolean {
    return !this.#wire.destroyed
  }

  /** Calls back, once, when it is not open any more. */
  onClose(listener: () => void): void {
    this.#wire.once('close', listener)
  }

  /**
   * Neither part may be empty: RFC 4513 §5.1 has a directory answer such a bind with success.
   * Errors: rejects with an Error fit for the log, and then is not open any more.
   */
  async bind(dn: string, password: string, signal: AbortSignal): Promise<BindAnswer> {
    if (dn === '' || mechanisms.has(dn)) throw new LdapFault('a bind without a name')
    if (password === '' || password.includes('\0')) throw new LdapFault('a bind without a password')
    await this.#ask(() => this.#client.bind(dn, password), signal)
    const { code, isPasswordExpired } = this.#outcome()
    return { code, isPasswordExpired }
  }

  /** References to other directories are not followed. Errors: as `bind`. */
  async search(question: SearchQuestion, signal: AbortSignal): Promise<SearchAnswer> {
    const { base, scope, filter, attribute, entriesMax, timeLimit } = question
    const attributes = [attribute === '' ? '1.1' : attribute]
    const options = { scope, filter, attributes, sizeLimit: entriesMax, timeLimit }
    const found = await this.#ask(() => this.#client.search(base, options), signal)
    const { code } = this.#outcome()
    const isCut = code === sizeLimitExceeded
    if (found === undefined || (code !== 0 && !isCut)) {
      // What was found nowhere is nothing; but a base that is not there is a wrong configuration.
      throw new LdapFault(`the directory answers a search below ${base} with code ${code}`)
    }
    const entries = found.searchEntries.map(({ dn, ...values }) => {
      return { dn, values: valuesOf(values, attribute) }
    })
    return { entries, isCut }
  }

  /** With a farewell, where there is still somebody to hear it; resolves when it is closed. */
  close(): Promise<void> {
    const closed = this.#closed.catch(() => undefined)
    if (!this.isOpen) return closed
    const timer = setTimeout(() => this.destroy(), farewellMs)
    timer.unref()
    this.onClose(() => clearTimeout(timer))
    this.#client.unbind().catch(() => this.destroy())
    return closed
  }

  /** At once; what waits for an answer fails. */
  destroy(reason: Error = new LdapFault('the connection is closed')): void {
    this.#wire.fail(reason)
  }

  /** Undefined where the directory gave a code other than 0. */
  async #ask<T>(question: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    const abort = (): void => this.destroy(asError(signal.reason))
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort)
    try {
      // The library forgets whoever asks in the moment that the connection closes.
      return await Promise.race([question(), this.#closed])
    } catch (error) {
      const { fault, outcome } = this.#wire
      if (fault !== undefined || outcome === undefined || outcome.code === 0) {
        this.destroy(asError(error))
        throw this.#wire.fault ?? error
      }
      return undefined
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  #outcome(): BindAnswer {
    const { fault, outcome } = this.#wire
    if (fault !== undefined) throw fault
    if (outcome === undefined) throw new LdapFault('an answer without a result')
    return outcome
  }
}

// Names of attributes have no case; one with options, such as `cn;lang-de`, is another attribute.
function valuesOf(values: Readonly<Record<string, unknown>>, attribute: string): readonly string[] {
  const wanted = attribute.toLowerCase()
  const texts: string[] = []
  for (const [name, value] of Object.entries(values)) {
    if (name.toLowerCase() !== wanted) continue
    for (const each of Array.isArray(value) ? (value as readonly unknown[]) : [value]) {
      if (typeof each !== 'string') throw new LdapFault(`a value of ${attribute} is no text`)
      texts.push(each)
    }
  }
  return texts
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new LdapFault(String(error))
}
