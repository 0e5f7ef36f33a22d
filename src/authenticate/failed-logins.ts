// Slows down those who guess passwords: failed logins, counted for each address and each user name.

import { hash } from 'node:crypto'
import { addressGroup } from '../http/address-group.ts'
import { type Entry, GuessLanes } from './guess-lanes.ts'
import { RecentKeys } from './recent-keys.ts'

export interface FailedLoginsOptions {
  /** Monotonic, in ms. */
  readonly now: () => number
  /** Addresses, user names and credentials remembered, of each. */
  readonly entriesMax: number
}

/** One password that somebody shows. */
export interface Guess {
  /** Of the whole credential, as the credential cache has it. */
  readonly key: string
  /** '' has no count. */
  readonly address: string
  readonly username: string
}

/** The leave to check a guess. Exactly one of these follows, once. */
export interface Turn {
  succeeded(): void
  failed(): void
  /** Nobody could say. */
  unchecked(): void
}

export type Admission =
  | { readonly result: 'admitted'; readonly turn: Turn }
  | Exclude<Entry, { readonly result: 'entered' }>

// A user name can be held up by strangers, hence less than an address.
const longestPauseMs = { address: 60_000, username: 15_000 }
const forgottenAfterMs = 15 * 60_000
// Longer than a credential is remembered as checked: its next check must find it here.
const goodForMs = 24 * 60 * 60_000

/**
 * Only new guesses count: a client that repeats one wrong password does not make it worse. A credential
 * that was right before is no guess, so that nobody can lock out who is at work.
 */
export class FailedLogins {
  readonly #addresses: GuessLanes
  readonly #usernames: GuessLanes
  readonly #counted: RecentKeys
  readonly #right: RecentKeys

  constructor(options: FailedLoginsOptions) {
    this.#addresses = new GuessLanes({ ...options, longestPauseMs: longestPauseMs.address })
    this.#usernames = new GuessLanes({ ...options, longestPauseMs: longestPauseMs.username })
    this.#counted = new RecentKeys({ ...options, forMs: forgottenAfterMs })
    this.#right = new RecentKeys({ ...options, forMs: goodForMs })
  }

  /** Waits for its turn where as many are under way as there are free guesses left. */
  async admit({ key, address, username }: Guess): Promise<Admission> {
    const name = shortName(username)
    if (this.#right.has(key)) return admitted(this.#knownTurn(key, name))
    const group = address === '' ? undefined : addressGroup(address)
    const waitMs = Math.max(
      group === undefined ? 0 : this.#addresses.pauseMs(group),
      this.#usernames.pauseMs(name),
    )
    if (waitMs > 0) return { result: 'paused', waitMs }
    // In this order: who floods from one address must not hold places of a name while waiting for others
    // of its own.
    const ofAddress = group === undefined ? undefined : await this.#addresses.enter(group)
    if (ofAddress !== undefined && ofAddress.result !== 'entered') return ofAddress
    const ofName = await this.#usernames.enter(name)
    if (ofName.result === 'entered') return admitted(this.#newTurn(key, group, name))
    if (group !== undefined) this.#addresses.leave(group, false)
    return ofName
  }

  /** Of one that was right before: where it is wrong now, its next is a guess. */
  #knownTurn(key: string, name: string): Turn {
    return {
      succeeded: () => this.#isRight(key, name),
      failed: () => this.#right.delete(key),
      unchecked: () => undefined,
    }
  }

  #newTurn(key: string, group: string | undefined, name: string): Turn {
    const leave = (failed: boolean): void => {
      if (group !== undefined) this.#addresses.leave(group, failed)
      this.#usernames.leave(name, failed)
    }
    return {
      // The address keeps its count: who guesses may also own an account.
      succeeded: () => {
        this.#isRight(key, name)
        leave(false)
      },
      failed: () => {
        this.#right.delete(key)
        leave(this.#counted.add(key))
      },
      unchecked: () => leave(false),
    }
  }

  #isRight(key: string, name: string): void {
    this.#usernames.forget(name)
    this.#counted.delete(key)
    this.#right.delete(key)
    this.#right.add(key)
  }
}

function admitted(turn: Turn): Admission {
  return { result: 'admitted', turn }
}

// A name may be as long as a header, and the text of a part of it holds the password that it was cut from.
function shortName(username: string): string {
  return hash('sha256', username, 'base64')
}
