// The list of checks.
import type { Facts, Finding } from './contract.ts'
import { checkKernel } from './kernel.ts'
import { checkPasswords } from './passwords.ts'
import { checkTls } from './tls.ts'
import { checkTransport } from './transport.ts'

/** What all checks say, in a fixed order. */
export function diagnose({ tls, kernel, transport, passwords }: Facts): readonly Finding[] {
  return [
    ...checkTransport(transport),
    ...checkKernel(kernel),
    ...(tls === undefined ? [] : checkTls(tls)),
    ...(passwords.users.length === 0 ? [] : checkPasswords(passwords)),
  ]
}
