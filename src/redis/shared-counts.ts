// The buckets that hosts share, as keys of Redis: what each lacks, and when that was so by Redis' clock.

import { createHmac, type KeyObject } from 'node:crypto'
import type { BucketRate, SharedCounts, Spending } from '../limit/contract.ts'
import type { ScriptLink } from './contract.ts'

// A key stays until its bucket is full, and a second more: who is not known has a full one. All of it is
// in one slot of a cluster, so that one script serves many buckets.
const script = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local all = {}
for i, key in ipairs(KEYS) do
  local perMs, spent = tonumber(ARGV[5 * i - 4]), tonumber(ARGV[5 * i - 3])
  local lacking, wasAlone, most = tonumber(ARGV[5 * i - 2]), ARGV[5 * i - 1], tonumber(ARGV[5 * i])
  local known = redis.pcall('GET', key)
  local missing
  if type(known) == 'string' then
    local was, at = string.match(known, '^(%d+%.?%d*) (%d+%.?%d*)$')
    if was then
      missing = math.max(0, tonumber(was) - math.max(0, now - tonumber(at)) * perMs)
    end
  end
  if missing == nil or wasAlone == '1' then
    missing = math.max(missing or 0, lacking)
  end
  missing = math.min(missing + spent, most)
  local stays = string.format('%.0f', math.ceil(missing / perMs) + 1000)
  redis.call('SET', key, string.format('%.6f %.3f', missing, now), 'PX', stays)
  all[i] = string.format('%.6f', missing)
end
return all
`

// What is lost by writing a number as text.
const tolerance = 1e-3
const form = /^\d{1,15}\.\d{6}$/
const nameBytes = 18

export interface RedisCountsOptions {
  readonly link: ScriptLink
  readonly keyPrefix: string
  readonly hashKey: KeyObject
}

export class RedisCounts implements SharedCounts {
  readonly #options: RedisCountsOptions

  constructor(options: RedisCountsOptions) {
    this.#options = options
  }

  get isReady(): boolean {
    return this.#options.link.isReady
  }

  /** Hosts whose limits have the same name and differ count apart. */
  nameOf(limit: string, { capacity, tokensPerMs }: BucketRate, key: string): string {
    const parts = JSON.stringify([limit, capacity, tokensPerMs, key])
    const digest = createHmac('sha256', this.#options.hashKey).update(parts).digest()
    return digest.subarray(0, nameBytes).toString('base64url')
  }

  async settle(spendings: readonly Spending[]): Promise<readonly number[]> {
    const { keyPrefix, link } = this.#options
    const keys = spendings.map(({ bucket }) => `${keyPrefix}{limits}:${bucket}`)
    const values = spendings.flatMap((each) => [
      ...[String(each.tokensPerMs), String(each.spent), each.lacking.toFixed(6)],
      ...[each.wasAlone ? '1' : '0', String(each.lackingMax)],
    ])
    const answer = await link.run(script, keys, values)
    if (!Array.isArray(answer) || answer.length !== spendings.length) {
      throw new Error('the answer has another form')
    }
    return spendings.map((spending, index) => missingOf(answer[index], spending))
  }

  confirm(): void {
    this.#options.link.confirm()
  }

  reset(): void {
    this.#options.link.reset()
  }

  close(): void {
    this.#options.link.close()
  }
}

/** Errors: what cannot be true, since this host has just spent so much. */
function missingOf(text: unknown, { spent, lacking, wasAlone, lackingMax }: Spending): number {
  if (typeof text !== 'string' || !form.test(text)) throw new Error('a count is no number')
  const missing = Number(text)
  const least = Math.min(lackingMax, spent + (wasAlone ? lacking : 0))
  if (missing < least - tolerance || missing > lackingMax + tolerance) {
    throw new Error('a count cannot be true')
  }
  return missing
}
