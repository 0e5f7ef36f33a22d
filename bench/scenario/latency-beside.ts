// What a pull waits for its manifest while others push large layers and garbage is collected: the
// 99th percentile at a modest rate, against that of the same server with nothing else to do.

import { statSync } from 'node:fs'
import type { Content } from '../content.ts'
import { MIB, REPOSITORY, smallImage } from '../content.ts'
import type { Round, RoundContext, Scenario, Server } from '../contract.ts'
import { drive, push } from '../load/drive.ts'
import { besideGarbageCollection, leaveGarbage } from '../load/garbage.ts'
import type { PaceOrder, PaceResult } from '../load/pace-driver.ts'
import { ROUNDS_ANY, targetHeaders, targetPath } from '../scenario-kind.ts'
import { reclaim } from '../workspace.ts'

const PER_SECOND = 250
const CONNECTIONS = 8
const PUSHES = 4
const PUSH_BYTES = 256 * MIB
const BYTES_MAX = 4096 * MIB
// At the default rate the collection takes a second for it.
const GARBAGE = 1000
// Who measures goes before who loads, where both share a core.
const PUSH_NICENESS = 10
const ENDED_EARLY = 'the pushes ended before the round did: take shorter rounds'
const STORE_BYTES_MAX = BYTES_MAX + PUSHES * PUSH_BYTES

function pace(server: Server, content: Content, context: RoundContext): Promise<PaceResult> {
  const [manifest] = content.manifests
  if (manifest === undefined) throw new Error('an image is wanted')
  const order: PaceOrder = {
    ...{ port: server.port, path: targetPath(content, 'tag'), headers: targetHeaders('tag') },
    ...{ size: manifest.bytes.length, perSecond: PER_SECOND, connections: CONNECTIONS },
    seconds: context.seconds,
  }
  return drive('pace-driver', order, context)
}

/** Errors: Error where the pushes had ended before the last answer came. */
async function besidePushes(
  server: Server,
  content: Content,
  context: RoundContext,
): Promise<PaceResult> {
  const pushing = push(
    {
      ...{ port: server.port, repository: REPOSITORY, size: PUSH_BYTES, flow: 'docker' },
      // Until the last answer has come: the measuring client needs a moment to start.
      ...{ connections: PUSHES, seconds: context.seconds + 1, bytesMax: BYTES_MAX },
      ...{ allInFlight: false, announce: false },
    },
    context,
    PUSH_NICENESS,
  )
  let isPushing = true
  const ended = (): void => {
    isPushing = false
  }
  pushing.then(ended, ended)
  const paced = await pace(server, content, context)
  const isBeside = isPushing
  await pushing
  if (!isBeside) throw new Error(ENDED_EARLY)
  return paced
}

async function round(server: Server, content: Content, context: RoundContext): Promise<Round> {
  if (server.blobRoot !== undefined) {
    // The pushed layers, and not the image that is read.
    await reclaim(
      server.blobRoot,
      (path) => path.endsWith('/data') && statSync(path).size === PUSH_BYTES,
    )
  }
  await leaveGarbage(server, content.repository, GARBAGE)
  const idle = await pace(server, content, context)
  const busy = await besideGarbageCollection(server, () => besidePushes(server, content, context))
  const figure = busy.latencyMs?.p99
  if (figure === undefined || idle.latencyMs === undefined) throw new Error('no answers')
  return {
    ...{ requests: busy.requests, bytes: busy.bytes, seconds: busy.seconds },
    ...{ latencyMs: busy.latencyMs, figure, driver: 'node socket, open loop' },
    beside: {
      idleP99Ms: idle.latencyMs.p99,
      idleLagP99Ms: idle.lagMs,
      lagP99Ms: busy.lagMs,
    },
  }
}

export const latencyBeside: Scenario = {
  name: 'latency-beside',
  asks: `p99 of a manifest GET, ${PER_SECOND} a second, beside ${PUSHES} pushes of 256 MiB and GC`,
  unit: 'ms',
  edge: 'plain',
  settings: '[gc]\ngrace = "1m"\nrestore_window = "0s"\nevery = "0s"\n',
  stores: ['disk', 'memory'],
  references: ['docker-registry'],
  content: smallImage,
  round,
  writes: false,
  warmUp: true,
  roundsMax: ROUNDS_ANY,
  storeBytesMax: STORE_BYTES_MAX,
  expected: [{ atMost: 10, orTimes: { beside: 'idleP99Ms', factor: 3 } }],
}
