// A bare uWebSockets.js handler that sends the very lines and bytes of Keelson: the ceiling of reads.
// What it sends was recorded from a Keelson that ran before it, on the same content.

import { mkdirSync, writeFileSync } from 'node:fs'
import { Agent, type IncomingMessage, request } from 'node:http'
import { request as requestSecure, Agent as SecureAgent } from 'node:https'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startServer, stopServer, untilReady } from '../children.ts'
import { type Content, KIB, MANIFEST_TYPE } from '../content.ts'
import type { Origin, Server, StartContext, Subject } from '../contract.ts'
import { answers, freePort } from '../free-port.ts'
import { startKeelson } from '../launch.ts'
import { clientOptions } from '../load/get.ts'
import { verifyContent } from '../load/seed.ts'
import { runtimeFlags } from '../runtime-flags.ts'
import type { BareAnswer } from './bare-uws-program.ts'

/** What was said to one request: header lines as they came, and the body. */
export interface Recorded {
  readonly status: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

// Larger blobs leave Keelson in pieces, which is no matter of one precomputed answer.
const BLOB_BYTES_MAX = 64 * KIB

/** One request on a connection that stays, as every load does it. */
export async function record(
  { port, credentials }: Origin,
  method: 'GET' | 'HEAD',
  path: string,
): Promise<Recorded> {
  const options = { host: '127.0.0.1', port, path, method, headers: { Accept: MANIFEST_TYPE } }
  const agent = { keepAlive: true }
  const [client, secureClient] = [new Agent(agent), new SecureAgent(agent)]
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const asked =
      credentials === undefined
        ? request({ ...options, agent: client }, resolve)
        : requestSecure({ ...options, ...clientOptions(credentials), agent: secureClient }, resolve)
    asked.once('error', reject)
    asked.end()
  })
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  client.destroy()
  secureClient.destroy()
  const { rawHeaders, statusCode = 0 } = answer
  const headers: [string, string][] = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    headers.push([rawHeaders[index] ?? '', rawHeaders[index + 1] ?? ''])
  }
  return { status: statusCode, headers, body: Buffer.concat(chunks) }
}

/** Everything small that can be asked for. */
export function targetsOf(content: Content): readonly string[] {
  const base = `/v2/${content.repository}`
  return [
    '/v2/',
    `${base}/tags/list`,
    ...content.manifests.flatMap(({ tag, digest }) => [
      `${base}/manifests/${tag}`,
      `${base}/manifests/${digest}`,
    ]),
    ...content.blobs
      .filter(({ size }) => size <= BLOB_BYTES_MAX)
      .map(({ digest }) => `${base}/blobs/${digest}`),
  ]
}

// The library writes these two by itself. In an answer to HEAD nobody writes the length for us.
const WRITTEN_BY_LIBRARY = new Set(['date', 'uwebsockets'])

function answerOf(path: string, method: 'GET' | 'HEAD', recorded: Recorded): BareAnswer {
  const lines = recorded.headers.filter(([name]) => {
    const lower = name.toLowerCase()
    if (WRITTEN_BY_LIBRARY.has(lower)) return false
    return method === 'HEAD' || lower !== 'content-length'
  })
  const [first, ...others] = lines
  if (first === undefined) throw new Error(`${path} has no header of its own`)
  const rest = [first[1], ...others.map(([name, value]) => `${name}: ${value}`)].join('\r\n')
  const body = method === 'HEAD' ? undefined : recorded.body.toString('base64')
  return { path, name: first[0], rest, body }
}

async function recordAll(keelson: Server, content: Content): Promise<BareAnswer[]> {
  await keelson.load(content)
  const said: BareAnswer[] = []
  for (const path of targetsOf(content)) {
    for (const method of ['GET', 'HEAD'] as const) {
      const recorded = await record(keelson, method, path)
      // A HEAD that Keelson does not have is none that a load asks for.
      if (recorded.status === 200) said.push(answerOf(path, method, recorded))
    }
  }
  return said
}

async function startBare(
  { directory, serverCores, tls }: StartContext,
  keelson: Server,
): Promise<Server> {
  const port = await freePort()
  const origin: Origin = { port, credentials: tls?.credentials }
  const [logFile, answersFile] = [join(directory, 'log'), join(directory, 'answers.json')]
  // This file and the program have the same extension, built or not.
  const program = fileURLToPath(import.meta.url).replace(/(\.[jt]s)$/, '-program$1')
  const files = tls === undefined ? [] : [tls.certificateFile, tls.keyFile]
  const flags = runtimeFlags(keelson.pid)?.execArgv ?? []
  const command = [process.execPath, ...flags, program, String(port), answersFile, ...files]
  const child = startServer(serverCores, command, logFile)
  await untilReady(child, logFile, () => answers(origin))
  return {
    kind: 'server',
    name: 'bare-uws',
    ...origin,
    pid: child.pid ?? 0,
    blobRoot: undefined,
    load: async (content) => {
      const said = await recordAll(keelson, content)
      await keelson.stop()
      writeFileSync(answersFile, JSON.stringify(said))
      child.kill('SIGHUP')
      const last = said.at(-1)?.path ?? ''
      await untilReady(child, logFile, async () => {
        return (await record(origin, 'HEAD', last)).status === 200
      })
      const small = content.blobs.filter(({ size }) => size <= BLOB_BYTES_MAX)
      await verifyContent(origin, { ...content, blobs: small })
    },
    stop: async () => {
      await Promise.all([keelson.stop(), stopServer(child)])
    },
  }
}

/** Keelson runs until its answers are recorded, and tells with which flags Node is started. */
async function start(context: StartContext): Promise<Server> {
  const directory = join(context.directory, 'keelson')
  mkdirSync(directory)
  const keelson = await startKeelson({ ...context, directory, guard: 'open', processes: 1 })
  try {
    return await startBare(context, keelson)
  } catch (cause) {
    await keelson.stop()
    throw cause
  }
}

const require = createRequire(import.meta.url)

function libraryVersion(): string | undefined {
  try {
    const { version } = require('uWebSockets.js/package.json') as { version: string }
    return version
  } catch {
    // Without a binary for this platform Keelson runs on another transport, and has no such ceiling.
    return undefined
  }
}

export const bareUws: Subject = { name: 'bare-uws', version: libraryVersion, start }
