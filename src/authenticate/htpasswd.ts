// An htpasswd file, as other registries have it → users.

import type { BasicUser } from './basic.ts'

export interface HtpasswdProblem {
  /** Counted from 1. */
  readonly line: number
  readonly message: string
}

export interface Htpasswd {
  readonly users: readonly BasicUser[]
  readonly problems: readonly HtpasswdProblem[]
}

const bcryptHash = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/
const argonHash =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/
// Each step doubles the time: 14 takes about a second of a thread for each guess.
const bcryptCostMax = 14
// Memory in KiB, passes, lanes.
const argonCostMax = [262_144, 16, 16] as const

/**
 * Lines of `name:hash`; empty ones and comments are skipped. The hash is bcrypt (`htpasswd -B`) or
 * argon2id; older ones, MD5, SHA-1, crypt and plain text, are refused, since they can be guessed.
 * A user's id is the name. Source: Apache's htpasswd(1).
 */
export function parseHtpasswd(text: string): Htpasswd {
  const users = new Map<string, BasicUser>()
  const problems: HtpasswdProblem[] = []
  text.split(/\r?\n/).forEach((content, index) => {
    if (content.trim() === '' || content.startsWith('#')) return
    const colon = content.indexOf(':')
    const username = content.slice(0, Math.max(colon, 0))
    const passwordHash = content.slice(colon + 1).trimEnd()
    const message =
      username === ''
        ? 'expected name:hash'
        : users.has(username)
          ? `the user ${username} is there twice`
          : hashProblem(passwordHash)
    if (message !== undefined) problems.push({ line: index + 1, message })
    else users.set(username, { id: username, username, passwordHash, ...noMore })
  })
  return { users: [...users.values()], problems }
}

const noMore = { groups: [], expiresAtMs: undefined } as const

/** Why a password hash cannot be used, as a sentence; undefined where it can. Never shows the hash. */
export function hashProblem(passwordHash: string): string | undefined {
  const argon = argonHash.exec(passwordHash)
  if (argon !== null) return argonProblem(argon.slice(1).map(Number))
  const cost = bcryptHash.exec(passwordHash)?.[1]
  if (cost === undefined) {
    return 'expected an argon2id hash in PHC form (see keelson argon) or a bcrypt hash'
  }
  return Number(cost) <= bcryptCostMax
    ? undefined
    : `expected a bcrypt cost of at most ${bcryptCostMax}; found ${Number(cost)}`
}

function argonProblem(costs: readonly number[]): string | undefined {
  if (argonCostMax.every((most, i) => (costs[i] ?? 0) <= most)) return undefined
  const [memory, passes, lanes] = argonCostMax
  return `expected argon2id parameters of at most m=${memory},t=${passes},p=${lanes}`
}
