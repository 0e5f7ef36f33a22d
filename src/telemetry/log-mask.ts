// What of the people behind requests the log does not name, whichever line would.

/** As `log.mask` writes them. */
export type LogMask =
  | 'address'
  | 'certificate'
  | 'groups'
  | 'reference'
  | 'repository'
  | 'user_agent'
  | 'username'

// The fields of all lines that hold such a thing.
const fieldsOf: { readonly [Mask in LogMask]: readonly string[] } = {
  address: ['address', 'clientIp', 'peerAddress'],
  certificate: ['certificate', 'certificateSubject', 'commonNames', 'serial', 'subject'],
  groups: ['groups'],
  // The path of a request that is none of ours may still name both.
  reference: ['reference', 'digest', 'path'],
  // The scopes of a token name repositories.
  repository: ['repository', 'scopes', 'path'],
  user_agent: ['userAgent'],
  username: ['username', 'id'],
}

const masked = '***'
const depthMax = 6

type Fields = Readonly<Record<string, unknown>>

/** What may be shown of the fields of a line; `null` stays, for it says that there is none. */
export function createMask(masks: readonly LogMask[]): (fields: Fields) => Fields {
  const hidden = new Set(masks.flatMap((mask) => fieldsOf[mask]))
  if (hidden.size === 0) return (fields) => fields
  return (fields) => withoutHidden(fields, hidden, depthMax)
}

function withoutHidden(fields: Fields, hidden: ReadonlySet<string>, depth: number): Fields {
  const shown: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    const isHidden = value != null && hidden.has(name) && isOfSomebody(name, fields)
    shown[name] = isHidden ? masked : deeper(value, hidden, depth)
  }
  return shown
}

// These names mean other things, too, which their neighbours tell.
function isOfSomebody(name: string, fields: Fields): boolean {
  // The address of a listener.
  if (name === 'address') return !('transport' in fields)
  if (name === 'id') return 'username' in fields
  // Else that of a file or a socket.
  if (name === 'path') return 'method' in fields
  // A token, of an admin call.
  if (name === 'subject') return 'serial' in fields
  return true
}

function deeper(value: unknown, hidden: ReadonlySet<string>, depth: number): unknown {
  if (typeof value !== 'object' || value === null || depth === 0) return value
  if (Array.isArray(value)) return value.map((item: unknown) => deeper(item, hidden, depth - 1))
  // Errors and the like show themselves.
  const isPlain = Object.getPrototypeOf(value) === Object.prototype
  return isPlain ? withoutHidden(value as Fields, hidden, depth - 1) : value
}
