// Takes secrets out of what is about to be shown, for the case that another service echoes them.
import type { Finding } from './contract.ts'

// Shorter ones are words: to hide them would hide the sentence.
const lengthMin = 4
const shown = '***'

/** Every secret that a configuration holds, in the forms in which it goes out. */
export function secretsOf(config: unknown, more: readonly string[] = []): readonly string[] {
  const found = new Set<string>()
  const add = (secret: string): void => {
    for (const form of [secret, secret.trim(), encodeURIComponent(secret), base64(secret)]) {
      if (form.length >= lengthMin) found.add(form)
    }
  }
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    if ('reveal' in value && typeof value.reveal === 'function') {
      add(String(value.reveal()))
      return
    }
    const { username, password } = value as {
      readonly username?: unknown
      readonly password?: unknown
    }
    if (typeof username === 'string' && isSecret(password)) {
      add(base64(`${username}:${password.reveal()}`))
    }
    for (const part of Object.values(value)) walk(part)
  }
  walk(config)
  for (const secret of more) add(secret)
  // A secret may hold another: the longer one goes first.
  return [...found].sort((a, b) => b.length - a.length)
}

function isSecret(value: unknown): value is { reveal(): string } {
  return typeof value === 'object' && value !== null && 'reveal' in value
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

const textMax = 2000

/** The same findings, with stars for secrets, without control characters, and cut where they are long. */
export function redacted(
  findings: readonly Finding[],
  secrets: readonly string[],
): readonly Finding[] {
  const clean = (text: string): string => {
    let cleaned = text
    for (const secret of secrets) cleaned = cleaned.replaceAll(secret, shown)
    // What another service says could steer a terminal.
    cleaned = cleaned.replace(/\p{Cc}+/gu, ' ').trim()
    return cleaned.length > textMax ? `${cleaned.slice(0, textMax)}…` : cleaned
  }
  return findings.map((finding) => ({
    ...finding,
    title: clean(finding.title),
    detail: clean(finding.detail),
    remedy: clean(finding.remedy),
    command: clean(finding.command),
  }))
}
