// The rows of those who know users for us: gateways in front, and directories.
const files = {
  server_ca_bundle: {
    kind: 'path',
    field: 'serverCaBundle',
    required: false,
    example: '/etc/keelson/guard-ca.pem',
    otherwise: 'the CAs of Node.js',
    reload: 'live',
    doc: 'The CAs that are trusted for it, and no others.',
  },
  client_certificate: {
    kind: 'path',
    field: 'clientCertificate',
    required: false,
    example: '/etc/keelson/guard-client.pem',
    otherwise: 'none',
    reload: 'live',
    doc: 'Certificate that is shown to it, with `client_private_key`.',
  },
  client_private_key: {
    kind: 'path',
    field: 'clientPrivateKey',
    required: false,
    example: '/etc/keelson/guard-client.key',
    otherwise: 'none',
    reload: 'live',
    doc: 'Key of `client_certificate`.',
  },
  client_private_key_passphrase: {
    kind: 'secret',
    field: 'clientPrivateKeyPassphrase',
    required: false,
    example: 'a long random text',
    otherwise: 'none',
    reload: 'live',
    doc: 'Passphrase of `client_private_key`.',
  },
} as const

/** How another service is reached over TLS; the same for each. */
export const clientFiles: typeof files = files

type AtStart<Rows> = {
  readonly [Key in keyof Rows]: Omit<Rows[Key], 'reload'> & { readonly reload: 'restart' }
}

/** The same, of connections that are made for the life of the process. */
export const clientFilesAtStart: AtStart<typeof files> = {
  server_ca_bundle: { ...files.server_ca_bundle, reload: 'restart' },
  client_certificate: { ...files.client_certificate, reload: 'restart' },
  client_private_key: { ...files.client_private_key, reload: 'restart' },
  client_private_key_passphrase: { ...files.client_private_key_passphrase, reload: 'restart' },
}

const sections = {
  'auth.gateway': {
    doc: 'A gateway in front that has logged its users in already, and names them in a header.',
    alternative: true,
    keys: {
      proxies: {
        kind: 'networks',
        field: 'proxies',
        required: true,
        example: ['10.1.0.7'],
        reload: 'live',
        doc: 'Addresses and networks that the gateway connects from; from anywhere else the header is ignored.',
      },
      header: {
        kind: 'text',
        field: 'header',
        lengthMin: 1,
        default: 'X-Forwarded-User',
        reload: 'live',
        doc: 'Header with the name of the user.',
      },
      groups_header: {
        kind: 'text',
        field: 'groupsHeader',
        lengthMin: 1,
        required: false,
        example: 'X-Forwarded-Groups',
        otherwise: 'no groups',
        reload: 'live',
        doc: 'Header with the groups of the user, with commas between them.',
      },
      shared_secret: {
        kind: 'secret',
        field: 'sharedSecret',
        required: false,
        example: 'a long random text',
        otherwise: 'none',
        reload: 'live',
        doc: 'What the gateway shows in `secret_header`; this or `common_names` must be given.',
      },
      secret_header: {
        kind: 'text',
        field: 'secretHeader',
        lengthMin: 1,
        default: 'X-Gateway-Secret',
        reload: 'live',
        doc: 'Header with the shared secret.',
      },
      common_names: {
        kind: 'expressions',
        field: 'commonNames',
        default: [],
        reload: 'live',
        doc: 'Common names of the client certificates by which the gateway may show itself instead.',
      },
    },
  },
} as const

const ldapKeys = {
  url: {
    kind: 'text',
    field: 'url',
    lengthMin: 1,
    required: true,
    example: 'ldaps://ldap.example.com',
    reload: 'live',
    doc: '`ldaps://HOST[:PORT]`, or `ldap://HOST[:PORT]` with `start_tls` or on loopback.',
  },
  start_tls: {
    kind: 'boolean',
    field: 'startTls',
    default: false,
    reload: 'live',
    doc: 'Turn an `ldap://` connection into TLS before anything is said on it.',
  },
  bind_dn: {
    kind: 'text',
    field: 'bindDn',
    lengthMin: 1,
    required: false,
    example: 'cn=keelson,ou=services,dc=example,dc=com',
    otherwise: 'searches are anonymous',
    reload: 'live',
    doc: 'Who searches for users and groups.',
  },
  bind_password: {
    kind: 'secret',
    field: 'bindPassword',
    required: false,
    example: 'a long random text',
    otherwise: 'none',
    reload: 'live',
    doc: 'Password of `bind_dn`.',
  },
  user_dn: {
    kind: 'text',
    field: 'userDn',
    lengthMin: 1,
    required: false,
    example: 'uid={username},ou=people,dc=example,dc=com',
    otherwise: 'the user is searched for',
    reload: 'live',
    doc: 'Name of the entry of a user, where it follows from the user name.',
  },
  user_base: {
    kind: 'text',
    field: 'userBase',
    lengthMin: 1,
    required: false,
    example: 'ou=people,dc=example,dc=com',
    otherwise: 'none; this or `user_dn` must be given',
    reload: 'live',
    doc: 'Where users are searched for, with all below it.',
  },
  user_filter: {
    kind: 'text',
    field: 'userFilter',
    lengthMin: 1,
    default: '(uid={username})',
    reload: 'live',
    doc: 'Filter that finds the one entry of a user.',
  },
  username_attribute: {
    kind: 'text',
    field: 'usernameAttribute',
    lengthMin: 1,
    default: 'uid',
    reload: 'live',
    doc: 'Attribute that becomes `identity.username`, so that each way to write a name is one user.',
  },
  group_base: {
    kind: 'text',
    field: 'groupBase',
    lengthMin: 1,
    required: false,
    example: 'ou=groups,dc=example,dc=com',
    otherwise: 'no groups',
    reload: 'live',
    doc: 'Where the groups of a user are searched for, with all below it.',
  },
  group_filter: {
    kind: 'text',
    field: 'groupFilter',
    lengthMin: 1,
    default: '(member={dn})',
    reload: 'live',
    doc: 'Filter that finds the groups; it may hold `{dn}` and `{username}`.',
  },
  group_attribute: {
    kind: 'text',
    field: 'groupAttribute',
    lengthMin: 1,
    default: 'cn',
    reload: 'live',
    doc: 'Attribute of a group that becomes one of `identity.groups`.',
  },
  timeout: {
    kind: 'duration',
    field: 'timeoutMs',
    default: '5s',
    min: '100ms',
    max: '1m',
    reload: 'live',
    doc: 'For each login as a whole; after it the login is answered 503.',
  },
  connections_max: {
    kind: 'integer',
    field: 'connectionsMax',
    default: 4,
    min: 2,
    max: 64,
    reload: 'live',
    doc: 'Connections to the directory at a time; further logins wait.',
  },
} as const

type Ldap = {
  readonly 'auth.ldap': {
    readonly doc: string
    readonly alternative: true
    readonly named: 'name'
    readonly keys: typeof ldapKeys & typeof files
  }
}

export const loginsSchema: typeof sections & Ldap = {
  ...sections,
  'auth.ldap': {
    doc: 'A directory that knows users with passwords, by a name of your choice.',
    alternative: true,
    named: 'name',
    keys: { ...ldapKeys, ...files },
  },
}
