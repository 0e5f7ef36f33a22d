// What grows, one at a time, and the server that is asked at each size.

import { hashPassword } from '../../workers/credentials.ts'
import { repositoryOf, type StoreSize } from './fill.ts'

export interface Grown {
  readonly n: number
  readonly store: StoreSize
  /** Added to the configuration. */
  readonly toml: string
  readonly connections: number
  readonly headers: readonly string[]
}

export interface Dimension {
  readonly name: string
  readonly sizes: readonly [number, number, number]
  readonly at: (n: number) => Grown
}

const password = 'tuesday-fjord-lemon'
const ordinary: StoreSize = { tags: 1000, repositories: 1000, blobs: 1000 }
const open = '[global.access_policy]\ndefault = "allow"\n'
const usual = { store: ordinary, toml: open, connections: 32, headers: [] }
const hundredfold = [1000, 10_000, 100_000] as const
const fromTen = [10, 100, 1000] as const

// Rules that look at who asks and for what, as those of real policies do. The last one allows.
function ruleList(count: number): string {
  const others = Array.from({ length: count - 1 }, (_, at) => {
    return `request.repository.startsWith('team-${at}/') && identity.username == 'robot-${at}'`
  })
  return JSON.stringify([...others, "request.action != 'delete-blob'"])
}

function sectionOf(at: number): string {
  return `[repository."${repositoryOf(at)}".access_policy]\ndefault = "deny"\nrules = ["request.action != 'delete-blob'"]\n`
}

let passwordHash: string | undefined

function userOf(at: number): string {
  passwordHash ??= hashPassword(password)
  return `[auth.identity.u${at}]\nusername = "user-${at}"\npassword = ${JSON.stringify(passwordHash)}\n`
}

function many(count: number, of: (at: number) => string): string {
  return Array.from({ length: count }, (_, at) => of(at)).join('')
}

export const DIMENSIONS: readonly Dimension[] = [
  {
    name: 'tags of a repository',
    sizes: hundredfold,
    at: (n) => ({ ...usual, n, store: { ...ordinary, tags: n } }),
  },
  {
    name: 'repositories',
    sizes: hundredfold,
    at: (n) => ({ ...usual, n, store: { ...ordinary, repositories: n } }),
  },
  {
    name: 'blobs of a repository',
    sizes: hundredfold,
    at: (n) => ({ ...usual, n, store: { ...ordinary, blobs: n } }),
  },
  { name: 'connections', sizes: fromTen, at: (n) => ({ ...usual, n, connections: n }) },
  {
    name: 'policies of repositories',
    sizes: fromTen,
    at: (n) => ({ ...usual, n, toml: `${open}${many(n, sectionOf)}` }),
  },
  {
    name: 'rules of one policy',
    // At most 256 are taken.
    sizes: [2, 20, 200],
    at: (n) => ({
      ...usual,
      n,
      toml: `[global.access_policy]\ndefault = "deny"\nrules = ${ruleList(n)}\n`,
    }),
  },
  {
    name: 'users',
    sizes: fromTen,
    at: (n) => {
      const credential = Buffer.from(`user-${n - 1}:${password}`).toString('base64')
      const headers = [`Authorization: Basic ${credential}`]
      return { ...usual, n, headers, toml: `${open}${many(n, userOf)}` }
    },
  },
]
