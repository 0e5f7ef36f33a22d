// The directories of a configuration, each with its bounds, its log and its figures.

import { OciError } from '../../oci/error.ts'
import type { LoginOutcome } from '../basic.ts'
import { ldapProblems } from './check.ts'
import { parseLdapUrl } from './connect.ts'
import type { LdapConfig, LdapDirectory, LdapParts, LdapStatus } from './contract.ts'
import { Directory, nameLengthMax } from './directory.ts'
import { LdapFault } from './session.ts'
import { Turns } from './turns.ts'

const waitingMaxDefault = 256
// Once for each user, and for so many at most.
const unfitMax = 1024
const sayAgainMs = 60_000
const retryAfterSeconds = '5'
const controls = /\p{Cc}/u

/**
 * Opens no connection: the first login does.
 * Errors: Error where `ldapProblems` has anything to say.
 */
export function openLdapDirectories(
  configs: readonly LdapConfig[],
  parts: LdapParts,
): readonly LdapDirectory[] {
  return configs.map((config) => new BoundedDirectory(config, parts))
}

class BoundedDirectory implements LdapDirectory {
  readonly #config: LdapConfig
  readonly #parts: LdapParts
  readonly #directory: Directory
  readonly #turns: Turns
  readonly #underWay = new Set<AbortController>()
  #isClosed = false
  readonly #unfit = new Set<string>()
  #verdicts = 0
  #faults = 0
  #isLastOk: boolean | undefined
  #saidMs = Number.NEGATIVE_INFINITY

  constructor(config: LdapConfig, parts: LdapParts) {
    const [problem] = ldapProblems(config)
    const address = parseLdapUrl(config.url)
    if (problem !== undefined || address === undefined) {
      throw new Error(`auth.ldap.${config.name}.${problem?.key}: ${problem?.message}`)
    }
    const { elapsed, waitingMax = waitingMaxDefault } = parts
    this.#config = config
    this.#parts = parts
    const onUnfit = (username: string, why: string): void => this.#tellUnfit(username, why)
    this.#directory = new Directory({ config, address, elapsed, onUnfit })
    // The user's own connection, and one to search with unless the user's does that.
    const isAlone = config.userDn !== undefined && config.bindDn === undefined
    const turns = Math.floor(config.connectionsMax / (isAlone ? 1 : 2))
    this.#turns = new Turns({ turns, waitingMax })
  }

  async check(username: string, password: string): Promise<LoginOutcome> {
    // Directories overlook blanks at the ends, and other programs what follows a NUL.
    const isName = username !== '' && username.trim() === username && !controls.test(username)
    if (!isName || username.length > nameLengthMax) return { result: 'unknown-user' }
    // Source: RFC 4513 §5.1.2: a directory answers a bind without a password with success.
    if (password === '' || password.includes('\0')) return { result: 'wrong-password' }
    try {
      const outcome = await this.#bounded(username, password)
      this.#verdicts += 1
      this.#tellOk()
      return outcome
    } catch (cause) {
      this.#faults += 1
      this.#tellFault(cause)
      throw new OciError('UNAVAILABLE', { headers: [['Retry-After', retryAfterSeconds]], cause })
    }
  }

  status(): LdapStatus {
    return {
      name: this.#config.name,
      connections: this.#directory.connections,
      waiting: this.#turns.waiting,
      isLastOk: this.#isLastOk,
      verdicts: this.#verdicts,
      faults: this.#faults,
    }
  }

  close(): void {
    this.#isClosed = true
    for (const login of this.#underWay) login.abort(stopping())
    this.#directory.close()
  }

  /** Whatever hangs, all of it together takes `timeoutMs` at most. */
  async #bounded(username: string, password: string): Promise<LoginOutcome> {
    const { timeoutMs } = this.#config
    const deadline = new AbortController()
    const timer = setTimeout(
      () => deadline.abort(new LdapFault(`no answer in ${timeoutMs} ms`)),
      timeoutMs,
    )
    this.#underWay.add(deadline)
    if (this.#isClosed) deadline.abort(stopping())
    try {
      const leave = await this.#turns.take(deadline.signal)
      try {
        return await this.#directory.login(username, password, deadline.signal)
      } finally {
        leave()
      }
    } finally {
      clearTimeout(timer)
      this.#underWay.delete(deadline)
    }
  }

  #tellOk(): void {
    if (this.#isLastOk === false) {
      this.#parts.log.info({ directory: this.#config.name }, 'the LDAP directory answers again')
      this.#saidMs = Number.NEGATIVE_INFINITY
    }
    this.#isLastOk = true
  }

  #tellFault(error: unknown): void {
    this.#isLastOk = false
    const { elapsed, log } = this.#parts
    if (elapsed() - this.#saidMs < sayAgainMs) return
    this.#saidMs = elapsed()
    const reason = error instanceof Error ? error.message : String(error)
    const { name } = this.#config
    log.warn({ directory: name, reason }, 'logins fail: the LDAP directory gives no clear answer')
  }

  #tellUnfit(username: string, why: string): void {
    if (this.#unfit.has(username) || this.#unfit.size >= unfitMax) return
    this.#unfit.add(username)
    const fields = { directory: this.#config.name, username, reason: why }
    this.#parts.log.warn(fields, 'a user of the LDAP directory cannot log in')
  }
}

function stopping(): LdapFault {
  return new LdapFault('the registry is stopping')
}
