// What to tell somebody who wrote a key that the schema does not have.

/** Names that later versions may give a meaning; a name stands for the tables below it too. */
export const unsupportedNames: readonly string[] = [
  'auth',
  'blob_store.s3',
  'metadata_store.postgres',
  'redis',
  'server.processes',
  'server.tls',
]

/**
 * The known name that is nearest to `name`, if one is near enough to be what was meant.
 */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  // Two swapped letters are two edits, which in a very short name is another name.
  const farthest = Math.max(name.length < 4 ? 1 : 2, Math.floor(name.length / 3))
  let best: string | undefined
  let bestDistance = farthest + 1
  for (const candidate of known) {
    const distance = editDistance(name, candidate)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

// Levenshtein's distance, one row at a time.
function editDistance(source: string, target: string): number {
  let row = Array.from({ length: target.length + 1 }, (_, index) => index)
  for (let i = 1; i <= source.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= target.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (source[i - 1] === target[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[target.length] ?? 0
}
