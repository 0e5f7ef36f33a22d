// Does the time of a refused login tell whether the user exists?
//
// node dist/bench/micro/login-timing.js [loginsOfEachKind]
// Wrong passwords of users with an argon2id hash, of users with a bcrypt hash, and of nobody, in random
// order, each from an address and for a user that has not failed before. Prints one JSON line.

import { randomBytes, randomInt } from 'node:crypto'
import { request } from 'node:http'
import bcrypt from 'bcryptjs'
import { startServer } from '../../test/support/server.ts'
import { hashPassword } from '../../workers/credentials.ts'
import { median, percentiles } from '../statistics.ts'

type Kind = 'unknown' | 'unknownToo' | 'argon2id' | 'bcrypt'

const count = Number(process.argv[2] ?? 200)
const warmUp = 5
const each = count + warmUp

function usersOf(kind: Kind, hash: string): string {
  const tables = Array.from(
    { length: each },
    (_, i) =>
      `[auth.identity.${kind}-${i}]\nusername = "${kind}-${i}"\npassword = ${JSON.stringify(hash)}\n`,
  )
  return tables.join('')
}

const server = await startServer({
  base: `
[server]
port = 0
[blob_store.memory]
[metadata_store.memory]
[global.access_policy]
default = "deny"
rules = ["identity.username != null"]
${usersOf('argon2id', hashPassword('tuesday-fjord-lemon'))}
${usersOf('bcrypt', bcrypt.hashSync('tuesday-fjord-lemon', 10))}
`,
})

let addresses = 0

/** In ms, from the request to the end of the answer, on a connection that is open by then. */
async function refusalMs(username: string): Promise<number> {
  addresses += 1
  const localAddress = `127.1.${addresses >> 8}.${addresses & 255}`
  const password = randomBytes(9).toString('base64url')
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${server.url}/v2/`,
      { localAddress, agent: false, headers: { authorization } },
      (answer) => {
        answer.resume().once('end', () => {
          if (answer.statusCode === 401) resolve(performance.now() - before)
          else reject(new Error(`${username}: ${answer.statusCode}`))
        })
      },
    )
    let before = 0
    outgoing.once('error', reject)
    outgoing.once('socket', (socket) =>
      socket.once('connect', () => {
        before = performance.now()
        outgoing.end()
      }),
    )
  })
}

function shuffled<T>(items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i -= 1) {
    const j = randomInt(i + 1)
    ;[items[i], items[j]] = [items[j] as T, items[i] as T]
  }
  return items
}

/** How likely a value of `one` is above one of `other`: 0.5 where they cannot be told apart. */
function likelihoodAbove(one: readonly number[], other: readonly number[]): number {
  let above = 0
  for (const a of one) for (const b of other) above += a > b ? 1 : a === b ? 0.5 : 0
  return above / (one.length * other.length)
}

function compare(one: readonly number[], other: readonly number[]): object {
  const likelihood = likelihoodAbove(one, other)
  // The standard deviation of the likelihood where both are of one distribution (Mann and Whitney).
  const deviation = Math.sqrt((one.length + other.length + 1) / (12 * one.length * other.length))
  return {
    medianDifferenceMs: rounded(median(one) - median(other)),
    likelihoodAbove: rounded(likelihood),
    z: rounded((likelihood - 0.5) / deviation),
  }
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}

const times: Record<Kind, number[]> = { unknown: [], unknownToo: [], argon2id: [], bcrypt: [] }
for (let i = 0; i < warmUp; i += 1) {
  for (const kind of ['unknown', 'argon2id', 'bcrypt']) await refusalMs(`${kind}-${i}`)
}
const plan = shuffled(
  (Object.keys(times) as Kind[]).flatMap((kind) =>
    Array.from({ length: count }, (_, i) => [kind, `${kind}-${i + warmUp}`] as const),
  ),
)
for (const [kind, username] of plan) times[kind].push(await refusalMs(username))
await server.stop()
const { unknown, unknownToo, argon2id, bcrypt: migrated } = times
process.stdout.write(
  `${JSON.stringify({
    loginsOfEachKind: count,
    ms: Object.fromEntries(Object.entries(times).map(([kind, list]) => [kind, percentiles(list)])),
    // What chance alone gives, to read the others by.
    unknownAgainstItself: compare(unknown, unknownToo),
    argon2idAgainstUnknown: compare(argon2id, unknown),
    bcryptAgainstUnknown: compare(migrated, unknown),
  })}\n`,
)
