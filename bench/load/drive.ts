// Starts the bench's own drivers on the load core and reads their result.

import { fileURLToPath } from 'node:url'
import { runToEnd } from '../children.ts'
import type { DriverResult, RoundContext } from '../contract.ts'
import type { PullOrder } from './pull-driver.ts'
import type { PushOrder } from './push-driver.ts'

const GRACE_MS = 120_000
const OWN = /drive(\.[jt]s)$/

/**
 * Run a program of this folder, such as `push-driver`, with `order` as its one argument in JSON.
 * `niceness` makes it wait for other programs on the load core.
 * Errors: Error with the end of its stderr.
 */
export async function drive<Result extends DriverResult>(
  program: string,
  order: { readonly seconds: number },
  context: RoundContext,
  niceness = 0,
): Promise<Result> {
  // The drivers stand beside this file, as .js when built and as .ts when run unbuilt.
  const path = fileURLToPath(import.meta.url).replace(OWN, `${program}$1`)
  const polite = niceness === 0 ? [] : ['nice', '-n', String(niceness)]
  const output = await runToEnd(
    context.loadCores,
    [...polite, process.execPath, path, JSON.stringify(order)],
    order.seconds * 1000 + GRACE_MS,
  )
  return JSON.parse(output) as Result
}

export function push(order: PushOrder, context: RoundContext, niceness = 0): Promise<DriverResult> {
  return drive('push-driver', order, context, niceness)
}

export function pull(order: PullOrder, context: RoundContext): Promise<DriverResult> {
  return drive('pull-driver', order, context)
}
