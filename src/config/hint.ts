// What to tell somebody who wrote a key that the schema does not have.

/** Names that later versions may give a meaning; a name stands for the tables below it too. */
export const unsupportedNames: readonly string[] = ['server.http2']

/**
 * The known name that is nearest to `name`, if one is near enough to be what was meant.
 */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  // In a very short name two edits make another name.
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

/** The first known name that has the words of `name` among its own: `client_ca_bundle` for `client_ca`. */
export function longerName(name: string, known: readonly string[]): string | undefined {
  return known.find((candidate) => `_${candidate}_`.includes(`_${name}_`))
}

// Levenshtein's distance, one row at a time, where two swapped neighbours count as one edit.
function editDistance(source: string, target: string): number {
  let before: readonly number[] = []
  let row: readonly number[] = Array.from({ length: target.length + 1 }, (_, index) => index)
  for (let i = 1; i <= source.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= target.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (source[i - 1] === target[j - 1] ? 0 : 1)
      const isSwap =
        i > 1 && j > 1 && source[i - 1] === target[j - 2] && source[i - 2] === target[j - 1]
      const swapped = isSwap ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY
      next.push(Math.min(replaced, swapped, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    before = row
    row = next
  }
  return row[target.length] ?? 0
}
