// What the public listener tells of the server itself, to those whom the policies allow it.

import { HeaderBlock } from '../http/header-block.ts'
import type { Reply } from '../http/reply.ts'
import { OciError } from '../oci/error.ts'
import type { Action } from '../route/action.ts'

/** Of all processes that serve, where there are several. */
export interface SelfAnswers {
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>
  /** Whether all that a request needs works. Why it does not is for the operator alone. */
  isReady(): Promise<boolean>
}

/** Whoever can answer, once there is somebody. */
export class SelfReport {
  current: SelfAnswers | undefined
}

type SelfAction = Extract<Action, { readonly kind: 'metrics' | 'healthz' | 'readyz' }>

const jsonType = 'application/json'
// Whatever stands in between: an answer of before says nothing of now.
const notKept = ['Cache-Control', 'no-store'] as const

/** Errors: OciError UNAVAILABLE (503) where nobody can tell. */
export async function reportSelf({ kind }: SelfAction, report: SelfReport): Promise<Reply> {
  // That it answers is all there is to say.
  if (kind === 'healthz') return whole(200, jsonType, '{"status":"ok"}\n')
  const { current } = report
  if (current === undefined) throw new OciError('UNAVAILABLE')
  if (kind === 'readyz') {
    const isReady = await current.isReady()
    const status = isReady ? 'ready' : 'not ready'
    return whole(isReady ? 200 : 503, jsonType, `${JSON.stringify({ status })}\n`)
  }
  const { contentType, text } = await current.metrics().catch((cause: unknown) => {
    throw new OciError('UNAVAILABLE', { cause })
  })
  return whole(200, contentType, text)
}

function whole(status: number, contentType: string, text: string): Reply {
  const headers = new HeaderBlock([['Content-Type', contentType], notKept])
  return { kind: 'whole', status, headers, body: new TextEncoder().encode(text) }
}
