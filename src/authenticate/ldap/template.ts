// User names within filters and names of entries: whatever a name holds, it stays a value there.

/** What stands for what, such as `{ username: 'alice' }`. */
export type Replacements = Readonly<Record<string, string>>

// Source: RFC 4515 §3.
const inFilter = /[*()\\\0]/g
// Source: RFC 4514 §2.4; the equals sign may be escaped, and some directories want it.
const inDn = /["+,;<>=\\]/g
const place = /\{([a-z]+)\}/g

export function escapeFilterValue(value: string): string {
  return value.replace(inFilter, (c) => `\\${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** `value` holds no NUL. */
export function escapeDnValue(value: string): string {
  return value.replace(inDn, '\\$&').replace(/^[ #]|(?!^) $/g, '\\$&')
}

/** A filter with every place filled in once: what a value holds is no place. */
export function fillFilter(template: string, replacements: Replacements): string {
  return fill(template, replacements, escapeFilterValue)
}

export function fillDn(template: string, replacements: Replacements): string {
  return fill(template, replacements, escapeDnValue)
}

/** The places of a template, such as `username`, each as often as it is there. */
export function placesOf(template: string): readonly string[] {
  return [...template.matchAll(place)].map(([, name = '']) => name)
}

function fill(
  template: string,
  replacements: Replacements,
  escaped: (value: string) => string,
): string {
  return template.replace(place, (all, name: string) => {
    const value = Object.hasOwn(replacements, name) ? replacements[name] : undefined
    return value === undefined ? all : escaped(value)
  })
}
