// Answers for damage to files: how it is done, and what a scrub has to say of it.

import { cp, mkdir, rename, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { digestOfBytes } from '../../../src/oci/digest.ts'
import type { Damage, Expected } from './damage.ts'
import type { Place } from './place.ts'

/** The bytes of its layer are lost, whatever lies there. */
function lost(kind: Expected['kind'], at: Place): readonly Expected[] {
  const what = at.image.layer
  return [{ kind, what, dry: 'found', real: 'quarantined', healed: true, waiting: what }]
}

function stays(kind: Expected['kind'], what: string): readonly Expected[] {
  return [{ kind, what, dry: 'left', real: 'left', again: 'left' }]
}

export const fileDamage: Readonly<Record<string, Damage>> = {
  'a flipped bit': async (at) => {
    await at.overwrite(at.image.layer, (bytes) => {
      bytes[3]! ^= 1
      return bytes
    })
    return lost('corrupt', at)
  },
  'a file cut short': async (at) => {
    await at.overwrite(at.image.layer, (bytes) => bytes.subarray(0, 5))
    return lost('corrupt', at)
  },
  'an empty file': async (at) => {
    await at.overwrite(at.image.layer, () => Buffer.alloc(0))
    return lost('corrupt', at)
  },
  'a file with bytes too many': async (at) => {
    await at.overwrite(at.image.layer, (bytes) => Buffer.concat([bytes, Buffer.from('!')]))
    return lost('corrupt', at)
  },
  'a removed file': async (at) => {
    await at.removeFile(at.image.layer)
    return lost('missing', at)
  },
  'a symbolic link in place of a file': async (at) => {
    const elsewhere = join(at.scene.disk.rootDir!, 'elsewhere')
    await rename(at.file(at.image.layer), elsewhere)
    await symlink(elsewhere, at.file(at.image.layer))
    return lost('not-a-file', at)
  },
  'a directory in place of a file': async (at) => {
    await at.removeFile(at.image.layer)
    await mkdir(at.file(at.image.layer))
    await at.writeFile(at.file(at.image.layer, 'inside'), 'of somebody')
    return lost('not-a-file', at)
  },
  'a file that everybody can write': async (at) => {
    await at.chmod(at.image.layer, 0o606)
    return stays('wrong-mode', at.image.layer)
  },
  'a foreign file beside a blob': async (at) => {
    await at.writeFile(at.file(at.image.layer, '../notes.txt'), 'mine')
    return stays('unknown-file', placeOf(at, '/notes.txt'))
  },
  'a foreign file among blobs': async (at) => {
    const path = join(dirname(at.file(at.image.layer)), '..', 'README')
    await at.writeFile(path, 'read me')
    return stays('unknown-file', join(placeOf(at, ''), '..', 'README'))
  },
  'a foreign file above all blobs': async (at) => {
    await at.writeFile(join(at.scene.disk.rootDir!, 'blobs', 'lost+found', 'x'), '')
    return stays('unknown-file', 'blobs/lost+found')
  },
  'a blob under the prefix of others': async (at) => {
    const own = placeOf(at, '')
    const [, , prefix = '', hex = ''] = own.split('/')
    const wrong = `blobs/sha256/${prefix === '00' ? '01' : '00'}/${hex}`
    const root = at.scene.disk.rootDir!
    await cp(join(root, own), join(root, wrong), { recursive: true })
    return stays('misplaced-blob', wrong)
  },
  'a file that no record knows': async (at) => {
    const bytes = Buffer.from(`orphan in ${at.repository}`)
    const digest = digestOfBytes('sha256', bytes)
    await at.writeFile(at.file(digest), bytes)
    return [{ kind: 'orphan-file', what: digest, dry: 'found', real: 'repaired' }]
  },
  'a file that no record knows, of other bytes': async (at) => {
    const digest = digestOfBytes('sha512', Buffer.from(`orphan in ${at.repository}`))
    await at.writeFile(at.file(digest), 'anything')
    return [{ kind: 'corrupt', what: digest, dry: 'found', real: 'quarantined' }]
  },
}

function placeOf(at: Place, beside: string): string {
  const root = at.scene.disk.rootDir!
  return dirname(at.file(at.image.layer)).slice(root.length + 1) + beside
}
