// How this room answers the admin interface.

export interface RoomAnswer {
  readonly status: number
  readonly body: object
}

export function refusal(status: number, error: string): RoomAnswer {
  return { status, body: { error } }
}

/** ISO 8601. */
export function shownTime(timeMs: number): string {
  return new Date(timeMs).toISOString()
}
