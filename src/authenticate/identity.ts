// Who is asking, as policies see it.

/** Absent parts are null. */
export interface Identity {
  readonly id: string | null
  readonly username: string | null
  readonly authMethod: 'anonymous'
}

export const anonymous: Identity = Object.freeze({
  id: null,
  username: null,
  authMethod: 'anonymous',
})
