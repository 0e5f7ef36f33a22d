// What a CI fleet does before each pull: a password for a token. Passwords that were verified lately
// are remembered; one that was not costs an argon2id.

import { EMPTY, MIB, REPOSITORY } from '../content.ts'
import type { Round, RoundContext, Scenario, Server } from '../contract.ts'
import { PASSWORD, PASSWORD_HASH } from '../guard.ts'
import { RawConnection } from '../load/raw-connection.ts'
import { requestRate } from '../load/request-rate.ts'
import { ROUNDS_ANY } from '../scenario-kind.ts'
import { percentiles } from '../statistics.ts'

const SERVICE = 'registry.example.com'
const PATH = `/token?service=${SERVICE}&scope=repository:${REPOSITORY}:pull,push`
// One more, and the address counts as one that guesses passwords.
const COLD_LANES = 4
// A user is cold once in the life of a server, so rounds are few and short.
const COLD_USERS = 3000
const COLD_SECONDS_MAX = 3
const COLD_ROUNDS_MAX = 5

function userName(index: number): string {
  return `ci-${index}`
}

function settings(users: number): string {
  const identities = Array.from({ length: users }, (_, index) => {
    const name = userName(index)
    return `[auth.identity.${name}]\nusername = "${name}"\npassword = "${PASSWORD_HASH}"\n`
  })
  return `[auth.token_service]\nservice = "${SERVICE}"\n${identities.join('')}`
}

function basicOf(index: number): string {
  const credentials = Buffer.from(`${userName(index)}:${PASSWORD}`).toString('base64')
  return `Authorization: Basic ${credentials}`
}

const usual = {
  unit: 'req/s',
  edge: 'plain',
  stores: ['disk'],
  references: [],
  content: () => EMPTY,
  writes: false,
  warmUp: true,
  storeBytesMax: MIB,
  expected: [],
} as const

export const tokenIssue: Scenario = {
  ...usual,
  name: 'token-issue',
  asks: 'Token for a password that was verified lately (Basic)',
  settings: settings(1),
  round: (server, _content, context) => {
    const request = { method: 'GET' as const, path: PATH, status: 200, headers: [basicOf(0)] }
    return requestRate(server, request, context)
  },
  roundsMax: ROUNDS_ANY,
}

/** Who of the users of a server comes next; by its process, since each starts with none. */
const nextUser = new Map<number, number>()

function takeUser(pid: number): number {
  const index = nextUser.get(pid) ?? 0
  if (index >= COLD_USERS) throw new Error(`all ${COLD_USERS} users have logged in`)
  nextUser.set(pid, index + 1)
  return index
}

async function coldRound(server: Server, { seconds }: RoundContext): Promise<Round> {
  const latenciesMs: number[] = []
  let bytes = 0
  const connections = await Promise.all(
    Array.from({ length: COLD_LANES }, () => RawConnection.open(server)),
  )
  const start = performance.now()
  const end = start + Math.min(seconds, COLD_SECONDS_MAX) * 1000
  await Promise.all(
    connections.map(async (connection) => {
      for (let began = start; began < end; ) {
        const answer = await connection.exchange('GET', PATH, [basicOf(takeUser(server.pid))])
        const { status, body } = answer
        if (status !== 200 || !body.includes('"token"')) throw new Error(`${status} ${body}`)
        bytes += body.length
        const now = performance.now()
        latenciesMs.push(now - began)
        began = now
      }
      connection.close()
    }),
  )
  const duration = (performance.now() - start) / 1000
  const requests = latenciesMs.length
  return {
    ...{ requests, bytes, seconds: duration, latencyMs: percentiles(latenciesMs) },
    ...{ figure: requests / duration, driver: 'node socket' },
  }
}

export const tokenIssueCold: Scenario = {
  ...usual,
  name: 'token-issue-cold',
  asks: 'Token for a password that was not verified yet (Basic, argon2id), 4 clients',
  settings: settings(COLD_USERS),
  round: (server, _content, context) => coldRound(server, context),
  roundsMax: COLD_ROUNDS_MAX,
}
