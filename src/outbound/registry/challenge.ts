// What a registry asks for in WWW-Authenticate. Source: RFC 9110 §11.6.1, Docker token specification.

export interface Challenge {
  /** In lower case. */
  readonly scheme: string
  /** By lower-case name. */
  readonly parameters: ReadonlyMap<string, string>
}

const lengthMax = 8 * 1024
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const parameter = new RegExp(
  `^(${token})[ \\t]*=[ \\t]*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))[ \\t]*(?:,[ \\t]*|$)`,
)
const schemeAlone = new RegExp(`^(${token})(?:[ \\t]+|[ \\t]*(?:,[ \\t]*|$))`)

/** In their order; what cannot be read ends the list. */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let rest = header.slice(0, lengthMax).trimStart()
  while (rest !== '') {
    const current = challenges.at(-1)
    const pair = parameter.exec(rest)
    if (pair !== null && current !== undefined) {
      const [whole, name = '', quoted, plain = ''] = pair
      const value = quoted === undefined ? plain : quoted.replaceAll(/\\(.)/g, '$1')
      // The first counts, so that nothing behind it can change what was said.
      const key = name.toLowerCase()
      if (!current.parameters.has(key)) current.parameters.set(key, value)
      rest = rest.slice(whole.length)
      continue
    }
    const scheme = schemeAlone.exec(rest)
    if (scheme === null) break
    challenges.push({ scheme: (scheme[1] ?? '').toLowerCase(), parameters: new Map() })
    rest = rest.slice(scheme[0].length)
  }
  return challenges
}
