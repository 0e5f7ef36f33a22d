// Checks TLS: whether the files can be used, when they end, and who may read the key.
import type { Term } from '../server/tls/load.ts'
import { noticesOf } from '../server/tls/terms.ts'
import type { Finding, KeyFacts, TlsFacts } from './contract.ts'

export function checkTls(facts: TlsFacts): readonly Finding[] {
  const { fault, terms, nowMs, key } = facts
  const ofKey = key === undefined ? [] : [keyFinding(key)]
  if (fault !== undefined) {
    const detail = `${fault.file}: ${fault.reason}`
    return [{ severity: 'error', title: 'TLS files', detail, remedy: fault.remedy }, ...ofKey]
  }
  return [
    ...terms.map((term) => termFinding(term, nowMs)),
    ...facts.warnings.map(
      (detail): Finding => ({
        severity: 'warning',
        title: titles.authority,
        detail,
        remedy: 'take it out of the bundle, or renew it',
      }),
    ),
    ...namesFinding(facts.names),
    ...ofKey,
  ]
}

const titles = {
  certificate: 'server certificate',
  crl: 'revocation list',
  ocsp: 'OCSP response',
  authority: 'client CA',
} as const

const remedies: Readonly<Record<Term['kind'], string>> = {
  certificate: 'renew it; the server takes a new file without a restart',
  crl: 'fetch a new list from its CA, and see why it is not fetched in time',
  ocsp: 'fetch a new response from the CA, and see why it is not fetched in time',
}

const dayMs = 86_400_000

function termFinding(term: Term, nowMs: number): Finding {
  const title = titles[term.kind]
  const [notice] = noticesOf([term], nowMs)
  if (notice !== undefined) {
    const { severity, message } = notice
    return { severity, title, detail: message, remedy: remedies[term.kind] }
  }
  const days = Math.floor((term.untilMs - nowMs) / dayMs)
  const left = days === 1 ? '1 day' : `${days} days`
  return { severity: 'ok', title, detail: `${term.file} holds for ${left} more`, remedy: '' }
}

function namesFinding(names: readonly string[]): readonly Finding[] {
  const title = 'names of the server certificate'
  if (names.length > 0) return [{ severity: 'ok', title, detail: names.join(', '), remedy: '' }]
  const detail = 'it has no subject alternative name, which clients ask for'
  const remedy = 'issue one that names the host as clients do'
  return [{ severity: 'warning', title, detail, remedy }]
}

function keyFinding({ file, mode, isEncrypted }: KeyFacts): Finding {
  const title = 'private key'
  if (isEncrypted) {
    return { severity: 'ok', title, detail: `${file} is encrypted`, remedy: '' }
  }
  const shown = (mode & 0o777).toString(8).padStart(4, '0')
  // A group that may read is how several services share a key.
  if ((mode & 0o027) === 0) {
    return { severity: 'ok', title, detail: `${file} has mode ${shown}`, remedy: '' }
  }
  const who = (mode & 0o007) === 0 ? 'its group may replace it' : 'others may reach it'
  const detail = `${file} is not encrypted and has mode ${shown}: ${who}`
  return { severity: 'error', title, detail, remedy: `chmod 600 ${file}, and replace the key` }
}
