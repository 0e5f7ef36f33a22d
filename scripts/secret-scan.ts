// Looks for keys and tokens in every file that git tracks, and fails when it finds one. It first
// proves each pattern on a sample of its kind.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

interface Kind {
  readonly name: string
  readonly pattern: RegExp
  /** Joined it is a secret of this kind; in parts it is none, so that this file passes. */
  readonly sample: readonly string[]
}

const filler = 'a1B2c3D4e5F6g7H8i9J0'

const kinds: readonly Kind[] = [
  {
    name: 'private key',
    pattern: /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----/,
    sample: ['-----BEGIN EC PRIV', 'ATE KEY-----'],
  },
  {
    name: 'AWS access key',
    pattern: /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/,
    sample: ['AKIA', 'ABCDEFGH23456789'],
  },
  {
    name: 'GitHub token',
    pattern: /\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,})/,
    sample: ['ghp_', filler, filler],
  },
  { name: 'GitLab token', pattern: /\bglpat-[\w-]{20}/, sample: ['glpat-', filler] },
  {
    name: 'npm token',
    pattern: /\bnpm_[A-Za-z0-9]{36}\b/,
    sample: ['npm_', filler, 'a1B2c3D4e5F6g7H8'],
  },
  {
    name: 'npm credential',
    pattern: /:_(?:authToken|auth|password)\s*=\s*[^\s$]/,
    sample: ['//x/:_auth', 'Token=x'],
  },
  { name: 'Slack token', pattern: /\bxox[abeoprs]-[\w-]{10,}/, sample: ['xoxb-', filler] },
  {
    name: 'Google API key',
    pattern: /\bAIza[\w-]{35}/,
    sample: ['AIza', filler, 'a1B2c3D4e5F6g7H'],
  },
  {
    name: 'JSON Web Token',
    pattern: /\beyJ[\w-]{15,}\.eyJ[\w-]{15,}\.[\w-]{20,}/,
    sample: ['eyJ', filler, '.eyJ', filler, '.', filler],
  },
  {
    name: 'password in a URL',
    pattern: /\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@'"`<>${}]+:[^\s/@'"`<>${}]{6,}@[a-z0-9]/i,
    sample: ['https://somebody:', 'passw0rd@example.com'],
  },
]

/** What looks like a secret in a text: one `line: kind` a finding, without the secret itself. */
export function findSecrets(text: string): readonly string[] {
  return text
    .split('\n')
    .flatMap((line, index) =>
      kinds.filter(({ pattern }) => pattern.test(line)).map(({ name }) => `${index + 1}: ${name}`),
    )
}

/** One secret of each kind, to prove the patterns on. */
export function sampleSecrets(): ReadonlyMap<string, string> {
  return new Map(kinds.map(({ name, sample }) => [name, sample.join('')]))
}

function scanTrackedFiles(): readonly string[] {
  const tracked = execFileSync('git', ['ls-files', '-z'], { encoding: 'utf8' })
  const paths = tracked.split('\0').filter((path) => path !== '')
  return paths.flatMap((path) =>
    // Read as Latin-1, a binary file is searched as well.
    findSecrets(readFileSync(path, 'latin1')).map((finding) => `${path}:${finding}`),
  )
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const [name, sample] of sampleSecrets()) {
    if (!findSecrets(sample).includes(`1: ${name}`))
      throw new Error(`the pattern of ${name} is blind`)
  }
  const findings = scanTrackedFiles()
  console.log(findings.length === 0 ? 'no secrets found' : findings.join('\n'))
  process.exitCode = findings.length === 0 ? 0 : 1
}
