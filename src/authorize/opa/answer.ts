// What an OPA answers, as a verdict. It allows where it says `true`, and nowhere else.

import { parseStrictJson } from '../../oci/strict-json.ts'
import type { CallResult } from '../../outbound/contract.ts'
import type { GuardResult } from '../../telemetry/guard-counts.ts'
import type { Verdict } from '../guard.ts'
import type { Told } from '../verdict-cache.ts'

export interface ReadAnswer extends Told {
  readonly counted: GuardResult
}

const jsonLimits = { depthMax: 32, keysMax: 1024, valuesMax: 8192 } as const
const decisionIdLengthMax = 128
const reasonLengthMax = 1024

/**
 * Read the answer to a question about the document `path`.
 * Source: https://www.openpolicyagent.org/docs/rest-api "Get a Document (with Input)".
 */
export function readAnswer(result: CallResult, path: string): ReadAnswer {
  if (result.kind === 'failed') {
    const { problem, detail } = result
    const wasAsked = problem !== 'open' && problem !== 'busy'
    const counted = wasAsked ? 'transport_error' : 'unavailable'
    return { ...lost(`${problem}: ${detail}`), counted }
  }
  if (result.status !== 200) return lost(`it answers ${result.status}${faultOf(result.body)}`)
  if (result.headers['content-encoding'] !== undefined) return lost('its answer is packed')
  const parsed = parseStrictJson(result.body, jsonLimits)
  if (!parsed.ok) return lost(`its answer ${parsed.reason}`)
  if (!isObject(parsed.value)) return lost('its answer is no object')
  const answer = parsed.value
  const decisionId = textOf(answer['decision_id'], decisionIdLengthMax)
  if (!Object.hasOwn(answer, 'result')) return undefinedPart(nameOf(path), decisionId)
  return readResult(answer['result'], path, decisionId)
}

function readResult(result: unknown, path: string, decisionId: string | null): ReadAnswer {
  if (typeof result === 'boolean') return settled(result, null, decisionId)
  const name = nameOf(path)
  if (!isObject(result)) return lost(`${name} is neither a boolean nor an object`, decisionId)
  const allow = Object.hasOwn(result, 'allow') ? result['allow'] : undefined
  if (allow === undefined) return undefinedPart(`${name}.allow`, decisionId)
  if (typeof allow !== 'boolean') return lost(`${name}.allow is no boolean`, decisionId)
  if (!Object.hasOwn(result, 'reason')) return settled(allow, null, decisionId)
  const reason = textOf(result['reason'], reasonLengthMax)
  if (reason === null) return lost(`${name}.reason is no text`, decisionId)
  return settled(allow, reason, decisionId)
}

function settled(allow: boolean, reason: string | null, decisionId: string | null): ReadAnswer {
  const counted = allow ? 'allow' : 'deny'
  return { verdict: verdict(counted, reason, decisionId), counted, holds: true }
}

// Without a default this is how rules deny. It is not remembered: a policy that is not loaded yet, or
// anew, looks the same.
function undefinedPart(name: string, decisionId: string | null): ReadAnswer {
  const denial = verdict('deny', `${name} is undefined`, decisionId)
  return { verdict: denial, counted: 'deny', holds: false }
}

function lost(reason: string, decisionId: string | null = null): ReadAnswer {
  return { verdict: unavailable(reason, decisionId), counted: 'unavailable', holds: false }
}

/** No answer, or none that was agreed on. */
export function unavailable(reason: string, decisionId: string | null = null): Verdict {
  return verdict('unavailable', reason, decisionId)
}

function verdict(
  result: Verdict['result'],
  reason: string | null,
  decisionId: string | null,
): Verdict {
  return { result, isCached: false, reason, decisionId }
}

// What OPA says of a fault, such as rules that contradict one another.
function faultOf(body: Buffer): string {
  const parsed = parseStrictJson(body, jsonLimits)
  const message = parsed.ok && isObject(parsed.value) ? parsed.value['message'] : undefined
  const text = textOf(message, reasonLengthMax)
  return text === null ? '' : ` (${text})`
}

function nameOf(path: string): string {
  return `data.${path.replaceAll('/', '.')}`
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOf(value: unknown, lengthMax: number): string | null {
  return typeof value === 'string' ? value.slice(0, lengthMax) : null
}
