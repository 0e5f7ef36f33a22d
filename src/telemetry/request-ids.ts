// Ids of requests, in the form of a UUID. Only as many are random as have to be, since to make one for
// each line of a busy access log costs more than the rest of the line.

const perBlock = 256 * 256
const pairs: readonly string[] = Array.from({ length: 256 }, (_none, byte) =>
  byte.toString(16).padStart(2, '0'),
)

/**
 * Each call another id: 65,536 of them share all of a random UUID but its last two bytes, which count.
 * They are unique, and no secrets: who knows one can guess those of the requests around it.
 */
export function createRequestIds(randomUuid: () => string): () => string {
  let block = ''
  let used = perBlock
  return () => {
    if (used === perBlock) {
      block = randomUuid().slice(0, -4)
      used = 0
    }
    const id = `${block}${pairs[used >> 8] ?? ''}${pairs[used & 255] ?? ''}`
    used += 1
    return id
  }
}
