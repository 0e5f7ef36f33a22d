// Keeps the garbage collection of a Keelson at work while something else is measured.

import { request } from 'node:http'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { smallPayload } from '../content.ts'
import type { Server } from '../contract.ts'
import { RawConnection } from './raw-connection.ts'

const POLL_MS = 50
// A run over little ends at once, and servers do not start one after the other.
const AGAIN_MS = 250
const GARBAGE_LANES = 8
const GARBAGE_BYTES = 4096
const NOT_FOUND = 404
const CONFLICT = 409

/** Refusals that are in `tolerated` are no error. */
function call(
  socketPath: string,
  method: string,
  path: string,
  sent = '',
  tolerated = 0,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path, method, agent: false }, async (answer) => {
      let body = ''
      for await (const chunk of answer.setEncoding('utf8')) body += chunk
      const status = answer.statusCode ?? 0
      if (status < 300 || status === tolerated) resolve(body)
      else reject(new Error(`${method} ${path} of the admin socket: ${status} ${body}`))
    })
    outgoing.once('error', reject)
    outgoing.end(sent)
  })
}

function socketOf({ name, blobRoot }: Server): string | undefined {
  if (name !== 'keelson' || blobRoot === undefined) return undefined
  return join(dirname(blobRoot), '_keelson', 'admin.sock')
}

async function runs(socket: string): Promise<boolean> {
  // There is none to show before the first.
  const shown = await call(socket, 'GET', '/jobs?kind=gc', '', NOT_FOUND)
  return /"state": ?"running"/.test(shown)
}

/** False where it is at work already. Errors: Error where it cannot be started. */
export async function collectGarbage(server: Server): Promise<boolean> {
  const socket = socketOf(server)
  if (socket === undefined) throw new Error(`${server.name} has no admin socket`)
  const isIdle = !(await runs(socket))
  // The server may have begun one by itself since then.
  if (isIdle) await call(socket, 'POST', '/jobs/start', '{"kind":"gc","input":{}}', CONFLICT)
  return isIdle
}

/**
 * Push so many small blobs and delete them: work for the collection of a Keelson that has no
 * `gc.restore_window`. Others are left alone.
 * Errors: Error where one is not taken, or not deleted.
 */
export async function leaveGarbage(
  server: Server,
  repository: string,
  count: number,
): Promise<void> {
  if (socketOf(server) === undefined) return
  let left = count
  const lane = async (): Promise<void> => {
    const connection = await RawConnection.open(server)
    for (; left > 0; left--) {
      const { digest, size, blocks } = smallPayload(GARBAGE_BYTES)
      const base = `/v2/${repository}/blobs`
      const length = [`Content-Length: ${size}`, 'Content-Type: application/octet-stream']
      const pushed = await connection.exchange(
        'POST',
        `${base}/uploads/?digest=${digest}`,
        length,
        blocks,
      )
      const deleted = await connection.exchange('DELETE', `${base}/${digest}`)
      if (pushed.status !== 201 || deleted.status !== 202) {
        throw new Error(`garbage: POST ${pushed.status}, DELETE ${deleted.status}`)
      }
    }
    connection.close()
  }
  await Promise.all(Array.from({ length: GARBAGE_LANES }, lane))
}

/**
 * Start the collection again whenever it ends, until `work` is done; its result. Other servers have
 * none that runs beside requests, so for them it is just `work`.
 * Errors: those of `work`; Error where the collection cannot be started.
 */
export async function besideGarbageCollection<T>(
  server: Server,
  work: () => Promise<T>,
): Promise<T> {
  const socket = socketOf(server)
  if (socket === undefined) return await work()
  let isDone = false
  const keepAtWork = async (): Promise<void> => {
    while (!isDone) {
      await collectGarbage(server)
      await sleep(AGAIN_MS)
    }
    // It may have ended by itself.
    await call(socket, 'POST', '/jobs/stop', '{"kind":"gc"}', CONFLICT)
    while (await runs(socket)) await sleep(POLL_MS)
  }
  const collecting = keepAtWork()
  // Seen below, and until then not unhandled.
  collecting.catch(() => undefined)
  try {
    return await work()
  } finally {
    isDone = true
    await collecting
  }
}
