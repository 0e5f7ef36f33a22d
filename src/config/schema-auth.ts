// The rows of the schema that say who may log in, and how.
import type { Section } from './entry.ts'

const sections = {
  auth: {
    doc: 'Who may log in. Without users, everybody but the bearers of client certificates is anonymous.',
    keys: {
      htpasswd: {
        kind: 'path',
        field: 'htpasswd',
        required: false,
        example: '/etc/keelson/htpasswd',
        otherwise: 'none',
        reload: 'restart',
        doc: 'File with a `name:hash` a line, bcrypt (`htpasswd -B`) or argon2id, as other registries have it.',
      },
    },
  },
  'auth.identity': {
    doc: 'A user with a password, by an id of your choice, which policies see as `identity.id`.',
    alternative: true,
    named: 'id',
    keys: {
      username: {
        kind: 'text',
        field: 'username',
        required: true,
        example: 'ci',
        lengthMin: 1,
        reload: 'restart',
        doc: 'Name that the user logs in with; it holds no colon.',
      },
      password: {
        kind: 'secret',
        field: 'password',
        required: true,
        example: '$argon2id$v=19$m=19456,t=2,p=1$...',
        reload: 'restart',
        doc: 'Argon2id hash of the password, as `keelson argon` prints it, or a bcrypt hash.',
      },
      groups: {
        kind: 'expressions',
        field: 'groups',
        default: [],
        reload: 'restart',
        doc: 'Groups that policies see as `identity.groups`.',
      },
      password_expires: {
        kind: 'time',
        field: 'passwordExpires',
        required: false,
        example: '2030-01-31T12:00:00Z',
        otherwise: 'never',
        reload: 'restart',
        doc: 'From this moment on the password is refused.',
      },
    },
  },
} as const

// Not `satisfies`: with it the arrays above would have to state their types.
type Checked<S extends { readonly [path: string]: Section }> = S
type AuthSchema = Checked<typeof sections>

export const authSchema: AuthSchema = sections
