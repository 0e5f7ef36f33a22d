// One line of the log: bounded, harmless to whoever reads it, and in the form that was asked for.
import { cut } from './log-error.ts'

export interface LineForm {
  readonly format: 'json' | 'human'
  /** Longest line. */
  readonly bytesMax: number
  /** Lines begin with their priority, and the journal knows the time. Source: sd-daemon(3). */
  readonly isForJournal: boolean
}

const levels: Readonly<Record<string, readonly [name: string, priority: number]>> = {
  10: ['TRACE', 7],
  20: ['DEBUG', 7],
  30: ['INFO', 6],
  40: ['WARN', 4],
  50: ['ERROR', 3],
  60: ['FATAL', 2],
}

/** From a line of JSON, with its newline, as pino makes it. */
export function createLineForm({
  format,
  bytesMax,
  isForJournal,
}: LineForm): (json: string) => string {
  const prefix = isForJournal ? priorityOf : () => ''
  if (format === 'json') {
    const roomFor = bytesMax - (isForJournal ? '<6>'.length : 0)
    return (json) => `${prefix(json)}${fittedJson(json, roomFor)}`
  }
  return (json) => {
    const before = prefix(json)
    const text = humanText(JSON.parse(fittedJson(json, bytesMax)) as Fields, !isForJournal)
    // The journal takes each line for a message of its own.
    const marked = before === '' ? text : `${before}${text.replaceAll('\n', `\n${before}`)}`
    return `${cutBytes(marked, bytesMax - 1)}\n`
  }
}

/** Whether `descriptor` is the journal. Source: systemd.exec(5) "JOURNAL_STREAM". */
export function isJournal(journalStream: string | undefined, stat: StreamIdentity): boolean {
  return journalStream === `${stat.dev}:${stat.ino}`
}

interface StreamIdentity {
  readonly dev: number | bigint
  readonly ino: number | bigint
}

type Fields = Readonly<Record<string, unknown>>

function priorityOf(json: string): string {
  const level = /^\{"level":(\d+)/.exec(json)?.[1] ?? ''
  return `<${levels[level]?.[1] ?? 6}>`
}

// What a terminal obeys, what turns text around, what breaks lines for some, and halves of characters.
const harmful = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu
const unprintable = /[^\x20-\x7e]/

// Within JSON such characters stand in strings alone.
function harmlessJson(json: string): string {
  const body = json.slice(0, -1)
  if (!unprintable.test(body)) return json
  return `${body.replace(harmful, (found) => unitsOf(found).map(escapedUnit).join(''))}\n`
}

function harmlessText(text: string): string {
  if (!unprintable.test(text)) return text
  return text.replace(harmful, (found) =>
    found === '\n' ? '\\n' : unitsOf(found).map(escapedUnit).join(''),
  )
}

function unitsOf(text: string): readonly number[] {
  return text.split('').map((unit) => unit.charCodeAt(0))
}

function escapedUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`
}

// Rarely too long: what is logged has bounds of its own.
function fittedJson(json: string, bytesMax: number): string {
  const whole = harmlessJson(json)
  if (whole.length * 3 <= bytesMax || Buffer.byteLength(whole) <= bytesMax) return whole
  const { level, time, process, msg, ...rest } = JSON.parse(json) as Fields
  const lineOf = (fields: unknown, textMax: number): string => {
    const shorter = { level, time, process, ...(fields as Fields), msg: cut(String(msg), textMax) }
    return harmlessJson(`${JSON.stringify({ ...shorter, cut: true })}\n`)
  }
  for (const textMax of [1024, 256, 64]) {
    const line = lineOf(shortened(rest, textMax), textMax)
    if (Buffer.byteLength(line) <= bytesMax) return line
  }
  return lineOf({}, 256)
}

const itemsMax = 32

function shortened(value: unknown, textMax: number): unknown {
  if (typeof value === 'string') return cut(value, textMax)
  if (Array.isArray(value)) return value.slice(0, itemsMax).map((item) => shortened(item, textMax))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).slice(0, itemsMax)
  return Object.fromEntries(entries.map(([name, item]) => [name, shortened(item, textMax)]))
}

function humanText(fields: Fields, hasTime: boolean): string {
  const { level, time, msg, err, ...rest } = fields
  const name = levels[String(level)]?.[0] ?? ''
  const more = Object.entries(rest).map(([key, value]) => `${key}=${humanValue(value)}`)
  const head = [...(hasTime ? [String(time)] : []), name, harmlessText(String(msg ?? '')), ...more]
  return [head.join(' '), ...errorLines(err)].join('\n')
}

function humanValue(value: unknown): string {
  if (typeof value !== 'string') return harmlessText(JSON.stringify(value))
  // Else a value could look like the next key.
  return harmlessText(/^[^\s"=]+$/.test(value) ? value : JSON.stringify(value))
}

// Each line is indented, so that none of them looks like a line of the log.
function errorLines(err: unknown, title = ''): readonly string[] {
  if (typeof err !== 'object' || err === null) return []
  const { stack, type, message, cause, errors, ...more } = err as Fields
  const text = typeof stack === 'string' ? stack : `${String(type)}: ${String(message)}`
  const [first = '', ...others] = text.split('\n')
  const facts = Object.entries(more).map(([key, value]) => `${key}=${humanValue(value)}`)
  const within = Array.isArray(errors) ? errors : []
  return [
    ['  ', title, harmlessText(first), ...facts.map((fact) => ` ${fact}`)].join(''),
    ...others.map((line) => `  ${harmlessText(line)}`),
    ...errorLines(cause, 'caused by '),
    ...within.flatMap((each) => errorLines(each, 'and ')),
  ]
}

function cutBytes(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= bytesMax) return text
  // Whole characters alone: what continues one begins with the bits 10.
  let end = bytesMax - Buffer.byteLength('…')
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return `${bytes.subarray(0, end).toString('utf8')}…`
}
