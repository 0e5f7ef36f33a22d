// Answers for OPAs in tests: one that is scripted, questions to ask it, and the guard under test.
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { Identity } from '../../../src/authenticate/identity.ts'
import type { Guard, Question } from '../../../src/authorize/guard.ts'
import { openOpas } from '../../../src/authorize/opa/open.ts'
import type { PolicyAction } from '../../../src/authorize/policy/variables.ts'
import type { OpaConfig } from '../../../src/config/schema.ts'
import type { CallerStatus } from '../../../src/outbound/contract.ts'
import { GuardCounts, type GuardTally } from '../../../src/telemetry/guard-counts.ts'
import { act, clientIp, from, user } from '../scene.ts'

export const name = 'central'

/** Defaults of the schema; `url` has none. */
export function opaConfig(options: Partial<OpaConfig> & Pick<OpaConfig, 'url'>): OpaConfig {
  return {
    name,
    path: 'keelson/allow',
    ...{ bearerToken: undefined, serverCaBundle: undefined },
    ...{ clientCertificate: undefined, clientPrivateKey: undefined },
    clientPrivateKeyPassphrase: undefined,
    ...{ cacheTtlMs: 0, timeoutMs: 10_000, concurrencyMax: 64 },
    ...{ breakerFailures: 1000, breakerCooldownMs: 60_000 },
    ...options,
  }
}

export interface OpenedGuard {
  readonly guard: Guard
  readonly tally: GuardTally
  readonly log: string[]
  status(): CallerStatus
  close(): Promise<void>
}

/** The guard of one configured OPA; it ends with the test. */
export async function openGuard(
  t: TestContext,
  options: Partial<OpaConfig> & Pick<OpaConfig, 'url'>,
  elapsed: () => number = () => performance.now(),
): Promise<OpenedGuard> {
  const counts = new GuardCounts('opa')
  const log: string[] = []
  const tell = (_fields: object, message: string): void => void log.push(message)
  const config = opaConfig(options)
  const opas = await openOpas([config], { counts, elapsed, log: { info: tell, warn: tell } })
  t.after(() => opas.close())
  const guard = opas.guards.get(config.name)
  assert.ok(guard)
  const status = (): CallerStatus => {
    const [only] = opas.status()
    assert.ok(only)
    return only
  }
  return { guard, tally: counts.tally(config.name), log, status, close: () => opas.close() }
}

export function question(
  kind: PolicyAction = 'get-manifest',
  identity: Identity = user('alice', 'dev'),
  repository = 'team/app',
): Question {
  return { identity, action: act(kind, repository), asked: from(clientIp) }
}

export type Answer = (response: ServerResponse, request: IncomingMessage) => void

export interface ScriptedOpa {
  readonly url: string
  /** What it was asked, in order. */
  readonly asked: { readonly method: string; readonly path: string; readonly body: unknown }[]
  /** Headers of each question. */
  readonly headers: IncomingMessage['headers'][]
  answer: Answer
}

/** Reads each question to its end before it answers. */
export async function startScriptedOpa(
  t: TestContext,
  answer: Answer,
  server: Server = createServer(),
): Promise<ScriptedOpa> {
  const isSecure = 'setSecureContext' in server
  const opa: ScriptedOpa = { url: '', asked: [], headers: [], answer }
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request
      const text = Buffer.concat(chunks).toString()
      const body: unknown = text === '' ? undefined : JSON.parse(text)
      opa.asked.push({ method, path, body })
      opa.headers.push(headers)
      opa.answer(response, request)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return Object.assign(opa, { url: `${isSecure ? 'https' : 'http'}://127.0.0.1:${port}` })
}

/** Answers 200 with this text. */
export function says(body: string): Answer {
  return (response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(body)
  }
}

/** A port of this host on which nobody listens. */
export async function deadUrl(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${port}`
}
