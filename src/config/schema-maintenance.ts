// The rows of what keeps a store clean: garbage collection, retention, scrub and backup.
import type { Section } from './entry.ts'
import { clientFiles } from './schema-logins.ts'

const peerKeys = {
  url: {
    kind: 'url',
    field: 'url',
    required: true,
    example: 'https://registry-east.example.com',
    reload: 'live',
    doc: 'Its address, without a path. Without TLS only for a registry on this host.',
  },
  username: {
    kind: 'text',
    field: 'username',
    lengthMin: 1,
    required: false,
    example: 'keelson',
    otherwise: 'it is asked without credentials',
    reload: 'live',
    doc: 'Who we are there, with `password`; where it asks for a token, we fetch one.',
  },
  password: {
    kind: 'secret',
    field: 'password',
    required: false,
    example: 'a long random text',
    otherwise: 'none',
    reload: 'live',
    doc: 'Password of `username`, or a token of that registry.',
  },
  heal: {
    kind: 'boolean',
    field: 'heal',
    default: true,
    reload: 'live',
    doc: 'Whether scrub asks it for content that is broken here. What comes is verified.',
  },
  timeout: {
    kind: 'duration',
    field: 'timeoutMs',
    default: '30s',
    min: '100ms',
    max: '10m',
    reload: 'live',
    doc: 'For a connection, for the beginning of an answer, and between two pieces of it.',
  },
} as const

const sections = {
  gc: {
    doc: 'Garbage collection: what nothing refers to is condemned after its lease, and destroyed later.',
    keys: {
      grace: {
        kind: 'duration',
        field: 'graceMs',
        default: '24h',
        min: '1m',
        max: '365d',
        reload: 'live',
        doc: 'Lease of a blob without references, so that a push under way can still name it. Then it is condemned: nobody can read it.',
      },
      restore_window: {
        kind: 'duration',
        field: 'restoreWindowMs',
        default: '7d',
        min: '0s',
        max: '365d',
        reload: 'live',
        doc: 'How long what is condemned or deleted can be brought back; then it is destroyed, and its room on the disk is free.',
      },
      every: {
        kind: 'duration',
        field: 'everyMs',
        default: '1h',
        min: '0s',
        max: '365d',
        reload: 'live',
        doc: 'How often the server collects garbage by itself; 0 leaves it to `keelson gc`.',
      },
      untagged: {
        kind: 'choice',
        field: 'untagged',
        of: ['keep', 'delete'],
        default: 'keep',
        reload: 'live',
        doc: 'What becomes of manifests that no tag names, no index lists and that refer to no subject. People may pull them by digest.',
      },
      untagged_after: {
        kind: 'duration',
        field: 'untaggedAfterMs',
        default: '7d',
        min: '1m',
        max: '3650d',
        reload: 'live',
        doc: 'With `untagged = "delete"`: how long one is found so, and is not pulled, before it goes.',
      },
      orphan_referrers: {
        kind: 'choice',
        field: 'orphanReferrers',
        of: ['keep', 'delete'],
        default: 'keep',
        reload: 'live',
        doc: 'What becomes of untagged signatures and the like whose subject is gone; they go after `untagged_after`.',
      },
      blobs_per_second: {
        kind: 'integer',
        field: 'blobsPerSecond',
        default: 1000,
        min: 0,
        max: 1_000_000,
        reload: 'live',
        doc: 'Most records that it goes through in a second; 0: as many as it can.',
      },
      bytes_per_second: {
        kind: 'size',
        field: 'rateBytes',
        default: '1GiB',
        min: '0B',
        max: '1TiB',
        reload: 'live',
        doc: 'Most bytes that it destroys in a second; 0: as many as it can.',
      },
      overwrite: {
        kind: 'boolean',
        field: 'overwrite',
        default: false,
        reload: 'live',
        doc: 'Overwrite the bytes of a blob before its file is removed. Flash and file systems that copy on write keep them all the same.',
      },
    },
  },
  retention: {
    doc: 'When the rules of the retention policies are applied.',
    keys: {
      every: {
        kind: 'duration',
        field: 'everyMs',
        default: '0s',
        min: '0s',
        max: '365d',
        reload: 'live',
        doc: 'How often the server deletes by itself the tags that no rule keeps; 0 leaves it to `keelson prune`.',
      },
      tags_per_second: {
        kind: 'integer',
        field: 'tagsPerSecond',
        default: 500,
        min: 0,
        max: 1_000_000,
        reload: 'live',
        doc: 'Most tags that it goes through in a second; 0: as many as it can.',
      },
      pull_times: {
        kind: 'boolean',
        field: 'pullTimes',
        default: true,
        reload: 'live',
        doc: 'Remember when each manifest was last pulled.',
      },
    },
  },
  scrub: {
    doc: 'Scrub: every blob is read and hashed again, and every record is compared with what it is about.',
    keys: {
      every: {
        kind: 'duration',
        field: 'everyMs',
        default: '30d',
        min: '0s',
        max: '3650d',
        reload: 'live',
        doc: 'How often the server does it by itself; 0 leaves it to `keelson scrub`.',
      },
      bytes_per_second: {
        kind: 'size',
        field: 'rateBytes',
        default: '100MiB',
        min: '0B',
        max: '1TiB',
        reload: 'live',
        doc: 'Most bytes that it reads in a second; 0: as many as it can.',
      },
    },
  },
  backup: {
    doc: 'Backups, which `keelson backup create` makes while the server serves.',
    keys: {
      bytes_per_second: {
        kind: 'size',
        field: 'rateBytes',
        default: '200MiB',
        min: '0B',
        max: '1TiB',
        reload: 'live',
        doc: 'Most bytes of blobs that are copied in a second; 0: as many as it can.',
      },
    },
  },
} as const

// Not `satisfies`: with it the arrays above would have to state their types.
type Checked<S extends { readonly [path: string]: Section }> = S

// An alias, since an interface is no record of sections.
type Peers = {
  readonly peer: {
    readonly doc: string
    readonly alternative: true
    readonly named: string
    readonly keys: typeof peerKeys & typeof clientFiles
  }
}

export const maintenanceSchema: Checked<typeof sections> & Peers = {
  ...sections,
  peer: {
    doc: 'Another registry, by a name: scrub asks it for what is broken here, and `keelson import --from registry` may name it.',
    alternative: true,
    named: 'name',
    keys: { ...peerKeys, ...clientFiles },
  },
}
