// How findings write numbers.

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** Three digits at most, such as 1.5 GiB. */
export function shownSize(bytes: number): string {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(bytes || 1) / 10)))
  const value = bytes / 1024 ** power
  return `${value >= 100 ? Math.round(value) : Number(value.toPrecision(3))} ${units[power]}`
}

export function shownMode(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}

/** `1 day`, `2 days`. */
export function counted(count: number, one: string, several: string = `${one}s`): string {
  return `${count} ${count === 1 ? one : several}`
}

/** At most five of them. */
export function some(names: readonly string[]): string {
  return names.slice(0, 5).join(', ') + (names.length > 5 ? ', …' : '')
}

/** As one word of a shell. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
