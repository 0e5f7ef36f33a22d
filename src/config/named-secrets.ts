// Finds the secrets of a configuration: the files that hold them, and those that it spells out itself.
import type { Config } from './schema.ts'

export interface NamedFile {
  readonly file: string
  /** Which part of the configuration names it. */
  readonly named: string
}

export interface NamedSecrets {
  /** Once each, in the order of the configuration. */
  readonly files: readonly NamedFile[]
  /** One at least stands in the configuration itself. */
  readonly hasLiterals: boolean
}

// The server's own key is looked after with the rest of its TLS files.
const fields: ReadonlySet<string> = new Set([
  'bearerTokenFile',
  'clientPrivateKey',
  'htpasswd',
  'keyFiles',
  'sessionTicketSecret',
])

export function namedSecrets(config: Config): NamedSecrets {
  const found = new Map<string, NamedFile>()
  let hasLiterals = false
  const take = (field: string, file: string | undefined): void => {
    if (file === undefined) {
      hasLiterals = true
      return
    }
    // As the configuration writes it.
    const named = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    if (!found.has(file)) found.set(file, { file, named })
  }
  walk('', config, take)
  return { files: [...found.values()], hasLiterals }
}

/** `take` gets no file for a secret that is written out. */
type Take = (field: string, file: string | undefined) => void

function walk(field: string, value: unknown, take: Take): void {
  if (typeof value === 'string') {
    if (fields.has(field)) take(field, value)
    return
  }
  if (typeof value !== 'object' || value === null) return
  if ('reveal' in value && 'reference' in value) {
    if (value.reference === undefined) take(field, undefined)
    const file = fileOf(value.reference)
    if (file !== undefined) take(field, file)
    return
  }
  // The elements of a list go by the name of the list.
  for (const [name, part] of Object.entries(value)) {
    walk(Array.isArray(value) ? field : name, part, take)
  }
}

/** Of a secret that was read from one: `{ file = "…" }`. */
function fileOf(reference: unknown): string | undefined {
  const quoted = typeof reference === 'string' && /^\{ file = (".*") \}$/s.exec(reference)?.[1]
  return quoted ? String(JSON.parse(quoted)) : undefined
}
