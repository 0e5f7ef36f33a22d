// Why a sealed file cannot be opened.

/**
 * - `unknown-key`: it says that it needs a key which is not there. Nothing can be concluded about its bytes.
 * - `forged`: it is not what was written.
 */
export class SealingFault extends Error {
  override readonly name = 'SealingFault'
  readonly kind: 'unknown-key' | 'forged'

  constructor(kind: 'unknown-key' | 'forged', message: string) {
    super(message)
    this.kind = kind
  }
}
