// Answers for a request body whose bytes go out when the test says so.
import { until } from '../support/until.ts'

export interface GatedBody {
  readonly body: AsyncIterable<Uint8Array>
  feed(bytes: Uint8Array): void
  /** Small pieces now and then until the end, so that its connection does not look stalled. */
  drip(): void
  end(): void
  /** All that was fed. */
  fed(): Buffer
}

const drip = new Uint8Array(64 << 10).fill(7)
const dripEveryMs = 500

export function gatedBody(): GatedBody {
  const queue: Uint8Array[] = []
  const fed: Uint8Array[] = []
  let dripping: NodeJS.Timeout | undefined
  const feed = (bytes: Uint8Array): void => {
    queue.push(bytes)
    fed.push(bytes)
  }
  let isEnded = false
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (;;) {
      await until('bytes, or the end', () => queue.length > 0 || isEnded)
      const next = queue.shift()
      if (next === undefined) return
      yield next
    }
  }
  return {
    body: pieces(),
    feed,
    drip: () => {
      dripping = setInterval(feed, dripEveryMs, drip)
      dripping.unref()
    },
    fed: () => Buffer.concat(fed),
    end: () => {
      clearInterval(dripping)
      isEnded = true
    },
  }
}
