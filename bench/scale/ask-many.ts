// Many requests at a time on kept connections, from within the bench: what they cost is read from the
// server, so that the client's own speed does not matter.

import { RawConnection } from '../load/raw-connection.ts'
import { cpuNanoseconds } from '../usage.ts'

export interface Ask {
  readonly method: string
  readonly path: string
  readonly headers: readonly string[]
  readonly body: readonly Buffer[]
  readonly status: number
}

/** One unit of work: the requests that belong together, in order. */
export type Work = (number: number) => readonly Ask[]

export interface Lanes {
  readonly connections: readonly RawConnection[]
  /** How many are in use at a time; all of them take turns. */
  readonly atOnce: number
}

export async function openLanes(port: number, count: number, atOnce: number): Promise<Lanes> {
  const connections: RawConnection[] = []
  while (connections.length < count) {
    const missing = Math.min(64, count - connections.length)
    const opening = Array.from({ length: missing }, () =>
      RawConnection.open({ port, credentials: undefined }),
    )
    connections.push(...(await Promise.all(opening)))
  }
  return { connections, atOnce: Math.min(atOnce, count) }
}

export function closeLanes({ connections }: Lanes): void {
  for (const connection of connections) connection.close()
}

async function perform(connection: RawConnection, asks: readonly Ask[]): Promise<void> {
  for (const { method, path, headers, body, status } of asks) {
    const answer = await connection.exchange(method, path, headers, body)
    if (answer.status === status) continue
    throw new Error(`${method} ${path}: ${answer.status}, wanted ${status}: ${answer.body}`)
  }
}

/**
 * Work for `milliseconds`, and tell what a unit of it cost the server. Units: µs of CPU.
 * Errors: Error naming the request that was answered otherwise.
 */
export async function costOf(
  pid: number,
  lanes: Lanes,
  work: Work,
  milliseconds: number,
): Promise<number> {
  const free = [...lanes.connections]
  const before = cpuNanoseconds(pid)
  const end = performance.now() + milliseconds
  let done = 0
  const worker = async (): Promise<void> => {
    while (performance.now() < end) {
      // The one that has rested longest, so that all of them are used.
      const connection = free.shift()
      if (connection === undefined) throw new Error('more workers than connections')
      await perform(connection, work(done))
      done += 1
      free.push(connection)
    }
  }
  await Promise.all(Array.from({ length: lanes.atOnce }, worker))
  return (cpuNanoseconds(pid) - before) / 1000 / done
}
