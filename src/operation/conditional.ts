// Entity tags in conditional requests.

/** Whether If-None-Match covers `etag` (a strong one, quoted). Weak comparison. Source: RFC 9110 §13.1.2. */
export function etagMatches(condition: string, etag: string): boolean {
  if (condition === etag || condition.trim() === '*') return true
  return condition.split(',').some((candidate) => candidate.trim().replace(/^W\//, '') === etag)
}
