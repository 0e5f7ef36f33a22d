// A loopback port that is free now, for programs that cannot report the one they chose.

import { createServer } from 'node:net'
import type { Origin } from './contract.ts'
import { get } from './load/get.ts'

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port)
        else reject(new Error('no port'))
      })
    })
  })
}

/** True when `GET /v2/` is answered at all with a status below 500. */
export async function answers(origin: Origin): Promise<boolean> {
  try {
    const answer = await get(origin, '/v2/')
    answer.resume()
    return (answer.statusCode ?? 500) < 500
  } catch {
    return false
  }
}
