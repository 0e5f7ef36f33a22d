// One directory: whether a password is a user's, by a bind of the user's own, and which groups it is in.

import { randomBytes } from 'node:crypto'
import type { LoginOutcome, LoginProblem } from '../basic.ts'
import { isDn } from './check.ts'
import { type LdapAddress, openSocket } from './connect.ts'
import type { LdapConfig } from './contract.ts'
import { Lookups } from './lookups.ts'
import {
  type BindAnswer,
  type LdapEntry,
  LdapFault,
  type SearchQuestion,
  Session,
} from './session.ts'
import { fillDn, fillFilter } from './template.ts'

export interface DirectoryOptions {
  readonly config: LdapConfig
  readonly address: LdapAddress
  /** Monotonic, in ms. */
  readonly elapsed: () => number
  /** What an operator should know of, once for each user. */
  readonly onUnfit: (username: string, why: string) => void
}

/** A name or a group is at most so long, as those of identity providers are. */
export const nameLengthMax = 256
const groupsMax = 256
const controls = /\p{Cc}/u
const anything = '(objectClass=*)'

// Source: RFC 4511 §A.1. The directory knows who it is, or that it is nobody, and says no.
const codes: ReadonlyMap<number, LoginProblem> = new Map([
  [32, 'wrong-password'],
  [34, 'wrong-password'],
  [49, 'wrong-password'],
  // No password to compare with, a lock, and what 389 Directory Server says of a disabled account.
  [48, 'refused'],
  [19, 'refused'],
  [53, 'refused'],
])

/** Everything of it ends with the signals that it is called with. */
export class Directory {
  readonly #options: DirectoryOptions
  readonly #lookups: Lookups
  readonly #sessions = new Set<Session>()

  constructor(options: DirectoryOptions) {
    this.#options = options
    const { elapsed } = options
    this.#lookups = new Lookups({ open: (signal) => this.openLookup(signal), elapsed })
  }

  get connections(): number {
    return this.#sessions.size
  }

  close(): void {
    this.#lookups.close()
  }

  /**
   * Neither text is empty or holds control characters.
   * Errors: rejects with an Error fit for the log where the directory gives no clear answer.
   */
  login(username: string, password: string, signal: AbortSignal): Promise<LoginOutcome> {
    const { userDn, userBase } = this.#options.config
    if (userDn !== undefined) {
      return this.#loginAs(fillDn(userDn, { username }), username, password, signal)
    }
    return this.#loginFound(userBase ?? '', username, password, signal)
  }

  /** Connected, and bound as who searches. Errors: as `login`. */
  async openLookup(signal: AbortSignal): Promise<Session> {
    const { bindDn, bindPassword } = this.#options.config
    const session = await this.#connect(signal)
    if (bindDn === undefined) return session
    try {
      const { code } = await session.bind(bindDn, bindPassword?.reveal() ?? '', signal)
      if (code !== 0) throw new LdapFault(`the directory refuses bind_dn with code ${code}`)
      return session
    } catch (error) {
      session.destroy()
      throw error
    }
  }

  async #loginFound(
    base: string,
    username: string,
    password: string,
    signal: AbortSignal,
  ): Promise<LoginOutcome> {
    const { userFilter, usernameAttribute: attribute } = this.#options.config
    const filter = fillFilter(userFilter, { username })
    // Two, to know that there is but one.
    const question = this.#question({ base, scope: 'sub', filter, attribute, entriesMax: 2 })
    const { session, answer } = await this.#lookups.search(question, signal)
    return this.#andGiveBack(session, async () => {
      const [entry, another] = answer.entries
      if (another !== undefined || answer.isCut) {
        return this.#unfit(username, 'more than one entry matches user_filter')
      }
      // Nobody's entry takes as many steps as somebody's.
      const dn = entry === undefined ? `cn=${randomBytes(16).toString('hex')},${base}` : dnOf(entry)
      const problem = await this.#bindOnly(dn, password, signal)
      if (entry === undefined) return { result: 'unknown-user' }
      if (problem !== undefined) return { result: problem }
      return this.#userOf(entry, username, session, signal)
    })
  }

  async #loginAs(
    dn: string,
    username: string,
    password: string,
    signal: AbortSignal,
  ): Promise<LoginOutcome> {
    const { bindDn, usernameAttribute: attribute } = this.#options.config
    const own = await this.#connect(signal)
    try {
      const problem = problemOf(await own.bind(dn, password, signal))
      if (problem !== undefined) return { result: problem }
      const question = this.#question({ base: dn, scope: 'base', filter: anything, attribute })
      if (bindDn === undefined) {
        const { entries } = await own.search(question, signal)
        return await this.#userOf(only(entries), username, own, signal)
      }
      const { session, answer } = await this.#lookups.search(question, signal)
      return await this.#andGiveBack(session, () =>
        this.#userOf(only(answer.entries), username, session, signal),
      )
    } finally {
      await own.close()
    }
  }

  /** Undefined where the password is right. */
  async #bindOnly(
    dn: string,
    password: string,
    signal: AbortSignal,
  ): Promise<LoginProblem | undefined> {
    const own = await this.#connect(signal)
    try {
      return problemOf(await own.bind(dn, password, signal))
    } finally {
      await own.close()
    }
  }

  async #userOf(
    entry: LdapEntry,
    typed: string,
    session: Session,
    signal: AbortSignal,
  ): Promise<LoginOutcome> {
    const { name, usernameAttribute } = this.#options.config
    const username = nameOf(entry, usernameAttribute, typed)
    if (username === undefined) {
      return this.#unfit(typed, `its ${usernameAttribute} is no name that policies could match`)
    }
    const groups = await this.#groupsOf(dnOf(entry), username, session, signal)
    if (groups === undefined) return this.#unfit(username, 'its groups are too many, or unfit')
    const user = { id: `ldap:${name}`, username, groups, expiresAtMs: undefined }
    return { result: 'success', user: { ...user, authMethod: 'ldap' } }
  }

  /** Undefined where there are too many, or some are no names: a rule that denies could miss them. */
  async #groupsOf(
    dn: string,
    username: string,
    session: Session,
    signal: AbortSignal,
  ): Promise<readonly string[] | undefined> {
    const { groupBase: base, groupFilter, groupAttribute } = this.#options.config
    if (base === undefined) return []
    const filter = fillFilter(groupFilter, { dn, username })
    const attribute = isDn(groupAttribute) ? '' : groupAttribute
    const entriesMax = groupsMax + 1
    const question = this.#question({ base, scope: 'sub', filter, attribute, entriesMax })
    const { entries, isCut } = await session.search(question, signal)
    const groups = new Set<string>()
    for (const entry of entries) {
      const names = attribute === '' ? [dnOf(entry)] : entry.values
      if (names.length === 0) throw new LdapFault(`${entry.dn} shows no ${attribute}`)
      for (const name of names) groups.add(name)
    }
    const isFit = !isCut && groups.size <= groupsMax && [...groups].every(isName)
    return isFit ? Object.freeze([...groups]) : undefined
  }

  #question(
    parts: Pick<SearchQuestion, 'base' | 'scope' | 'filter' | 'attribute'> &
      Partial<SearchQuestion>,
  ): SearchQuestion {
    const timeLimit = Math.ceil(this.#options.config.timeoutMs / 1000)
    return { entriesMax: 2, timeLimit, ...parts }
  }

  async #connect(signal: AbortSignal): Promise<Session> {
    const { address, config } = this.#options
    const session = new Session(await openSocket(address, config, signal))
    this.#sessions.add(session)
    session.onClose(() => this.#sessions.delete(session))
    return session
  }

  async #andGiveBack<T>(session: Session, use: () => Promise<T>): Promise<T> {
    try {
      const value = await use()
      this.#lookups.giveBack(session)
      return value
    } catch (error) {
      session.destroy()
      throw error
    }
  }

  #unfit(username: string, why: string): LoginOutcome {
    this.#options.onUnfit(username, why)
    return { result: 'unfit-user' }
  }
}

/** Fit for policies, and for logs. */
export function isName(text: string): boolean {
  return text !== '' && text.length <= nameLengthMax && !controls.test(text) && text.trim() === text
}

function problemOf({ code, isPasswordExpired }: BindAnswer): LoginProblem | undefined {
  if (code === 0) return isPasswordExpired ? 'expired' : undefined
  const problem = codes.get(code)
  if (problem === undefined) throw new LdapFault(`the directory answers a bind with code ${code}`)
  return problem
}

// A name that is empty would be anonymous, and one that is not UTF-8 somebody else.
function dnOf({ dn }: LdapEntry): string {
  if (!dn.includes('=') || dn.includes('\ufffd')) throw new LdapFault('an entry without a name')
  return dn
}

function only(entries: readonly LdapEntry[]): LdapEntry {
  const [entry, another] = entries
  if (entry === undefined || another !== undefined) {
    throw new LdapFault('the entry of a user cannot be read')
  }
  return entry
}

/** As the entry has it, so that each way to write it is one user; undefined where that is no name. */
function nameOf(entry: LdapEntry, attribute: string, typed: string): string | undefined {
  const { values, dn } = entry
  if (values.length === 0) throw new LdapFault(`${dn} shows no ${attribute}`)
  const [first, ...more] = values
  const wanted = typed.toLowerCase()
  const name = more.length === 0 ? first : values.find((each) => each.toLowerCase() === wanted)
  // A colon is in the names of those whom others vouch for: of identity providers, of API keys.
  return name !== undefined && isName(name) && !name.includes(':') ? name : undefined
}
