// Durations and sizes as people write them: one whole number and one unit.

const durationUnits: Units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
]

const sizeUnits: Units = [
  ['TiB', 1024 ** 4],
  ['TB', 1000 ** 4],
  ['GiB', 1024 ** 3],
  ['GB', 1000 ** 3],
  ['MiB', 1024 ** 2],
  ['MB', 1000 ** 2],
  ['KiB', 1024],
  ['KB', 1000],
  ['B', 1],
]

type Units = readonly (readonly [name: string, factor: number])[]

/**
 * A duration such as `"30s"`, or a whole number of seconds; undefined for anything else.
 * Units: returns milliseconds.
 */
export function parseDuration(written: unknown): number | undefined {
  if (typeof written === 'number') return whole(written * 1000)
  return typeof written === 'string' ? parseUnits(written, durationUnits) : undefined
}

/**
 * A size such as `"5MiB"` or `"10GB"`, or a whole number of bytes; undefined for anything else.
 * Units: returns bytes.
 */
export function parseSize(written: unknown): number | undefined {
  if (typeof written === 'number') return whole(written)
  return typeof written === 'string' ? parseUnits(written, sizeUnits) : undefined
}

/** The shortest exact form, which `parseDuration` reads back. Units: milliseconds. */
export function formatDuration(ms: number): string {
  return formatUnits(ms, durationUnits, 's')
}

/** The shortest exact form, which `parseSize` reads back. Units: bytes. */
export function formatSize(bytes: number): string {
  return formatUnits(bytes, sizeUnits, 'B')
}

function parseUnits(written: string, units: Units): number | undefined {
  const [, digits, name] = /^(\d{1,16}) ?([A-Za-z]+)$/.exec(written) ?? []
  const factor = units.find(([unit]) => unit === name)?.[1]
  return factor === undefined ? undefined : whole(Number(digits) * factor)
}

function whole(value: number): number | undefined {
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

function formatUnits(value: number, units: Units, zeroUnit: string): string {
  if (value === 0) return `0${zeroUnit}`
  const exact = units.filter(([, factor]) => value % factor === 0)
  const forms = exact.map(([name, factor]) => `${value / factor}${name}`)
  return forms.reduce((best, form) => (form.length < best.length ? form : best))
}
