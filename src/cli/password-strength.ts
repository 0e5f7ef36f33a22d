// Which new passwords are refused: those that a guesser tries first.

const lengthMin = 12
// Argon2 takes more, but a browser or a client library may not.
const lengthMax = 256

// What the commonest passwords are made of, in lower case and without digits and signs around them.
const commonWords: ReadonlySet<string> = new Set(
  `password passwort passw0rd p@ssword p@ssw0rd pass secret admin administrator root letmein welcome
  login master changeme change default test testing tester guest user username public private system
  monkey dragon football baseball basketball superman batman pokemon starwars sunshine princess
  shadow michael jennifer jordan ashley charlie qwerty qwertyuiop qwertz qwertzuiop azerty
  asdf asdfgh asdfghjkl zxcvbn zxcvbnm qazwsx qazwsxedc iloveyou trustno correcthorsebatterystaple
  abc abcd abcdef abcdefgh abcdefghij computer internet whatever freedom cheese killer hunter
  mustang harley cookie banana summer winter spring autumn january february march april june july
  august september october november december monday friday hello helloworld docker registry
  container keelson kubernetes jenkins gitlab github company deploy deployer build builder ci`
    .split(/\s+/)
    .filter((word) => word !== ''),
)

/**
 * Why a password is too weak, as a sentence for the person who chose it; undefined where it is not.
 * Source: NIST SP 800-63B §5.1.1.2: length and a list of the commonest, no rules about signs.
 */
export function weakness(password: string): string | undefined {
  const characters = [...password]
  if (/\p{Cc}/u.test(password)) return 'it holds control characters, which HTTP cannot carry'
  if (characters.length < lengthMin) {
    return `it has ${characters.length} characters; expected at least ${lengthMin}`
  }
  if (characters.length > lengthMax) return `expected at most ${lengthMax} characters`
  if (new Set(characters).size < 5) return 'it repeats a few characters'
  if (isSequence(characters)) return 'it is a sequence of neighbouring characters'
  const lower = password.toLowerCase()
  if ([lower, plain(lower)].map(wordIn).some((word) => commonWords.has(word) || isRepeated(word))) {
    return 'guessers try its words first: it is a common password with digits or signs around it'
  }
  return undefined
}

// From its first letter to its last.
function wordIn(text: string): string {
  return /\p{L}.*\p{L}|$/u.exec(text)?.[0] ?? ''
}

// "p@ssw0rd" is the same word to a guesser.
function plain(lower: string): string {
  const letters: Readonly<Record<string, string>> = {
    '@': 'a',
    '0': 'o',
    $: 's',
    '3': 'e',
    '!': 'i',
  }
  return lower.replace(/[@0$3!](?=\p{L})/gu, (sign) => letters[sign] ?? sign)
}

function isSequence(characters: readonly string[]): boolean {
  const codes = characters.map((character) => character.codePointAt(0) ?? 0)
  return [1, -1].some((step) =>
    codes.every((code, i) => i === 0 || code === (codes[i - 1] ?? 0) + step),
  )
}

// "secretsecretsecret"
function isRepeated(word: string): boolean {
  const unit = /^(.{3,}?)\1+$/u.exec(word)?.[1]
  return unit !== undefined && commonWords.has(unit)
}
