// Sizes, times and counts as people read them at a glance: rounded, in the unit and number that fit.

const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** Such as `1.5 GiB`. Units: bytes. */
export function roughSize(bytes: number): string {
  let value = Math.max(0, bytes)
  let at = 0
  // What would be rounded to 1024 is one of the next unit.
  while (value >= 1023.5 && at < sizes.length - 1) {
    value /= 1024
    at += 1
  }
  const digits = at === 0 || value >= 99.95 ? 0 : 1
  return `${value.toFixed(digits)} ${sizes[at]}`
}

/** Such as `45 s`, `3 min 05 s`, `2 h 10 min` or `3 d 4 h`. Units: ms. */
export function roughDuration(ms: number): string {
  const seconds = Math.round(Math.max(0, ms) / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${two(seconds % 60)} s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h ${two(minutes % 60)} min`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** Such as `1 blob`, `2 blobs`; `many` is given where it is not the word with an s. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
