// Starts the bench's own drivers on the load core and reads their result.

import { fileURLToPath } from 'node:url'
import { runToEnd } from '../children.ts'
import type { DriverResult, RoundContext } from '../contract.ts'
import type { BodylessOrder } from './bodyless-driver.ts'
import type { PullOrder } from './pull-driver.ts'
import type { PushOrder } from './push-driver.ts'

const GRACE_MS = 120_000

async function drive(
  program: 'push-driver' | 'pull-driver' | 'bodyless-driver',
  order: PushOrder | PullOrder | BodylessOrder,
  context: RoundContext,
): Promise<DriverResult> {
  // The drivers stand beside this file, as .js when built and as .ts when run unbuilt.
  const own = fileURLToPath(import.meta.url)
  const path = own.replace(/drive(\.[jt]s)$/, `${program}$1`)
  const output = await runToEnd(
    context.loadCores,
    [process.execPath, path, JSON.stringify(order)],
    order.seconds * 1000 + GRACE_MS,
  )
  return JSON.parse(output) as DriverResult
}

export function push(order: PushOrder, context: RoundContext): Promise<DriverResult> {
  return drive('push-driver', order, context)
}

export function pull(order: PullOrder, context: RoundContext): Promise<DriverResult> {
  return drive('pull-driver', order, context)
}

export function repeatHead(order: BodylessOrder, context: RoundContext): Promise<DriverResult> {
  return drive('bodyless-driver', order, context)
}
