// Request → Identity. No method of authentication is configured yet, so everybody is anonymous.

import { anonymous, type Identity } from './identity.ts'

interface Credentials {
  header(name: string): string
}

/** Credentials that nothing can check identify nobody. */
export function authenticate(_request: Credentials): Identity {
  return anonymous
}
