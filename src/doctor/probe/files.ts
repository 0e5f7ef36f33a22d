// Looks at the owners and modes of the files that the server works with.
import { dirname } from 'node:path'
import { namedSecrets } from '../../config/named-secrets.ts'
import type { Config } from '../../config/schema.ts'
import type { FileFacts, OwnedFacts, PrivateFile } from '../check/files.ts'
import type { Host } from '../host.ts'

/** `files`: those that the configuration came from. `uid`: who asks. */
export async function readFiles(
  host: Host,
  config: Config,
  { files, uid }: { readonly files: readonly string[]; readonly uid: number },
): Promise<FileFacts> {
  const { blobStore, metadataStore, admin, audit } = config
  const secrets = namedSecrets(config)
  const owned = (path: string): Promise<OwnedFacts> => ownedFacts(host, path)
  const stores = [
    ...(blobStore.kind === 'fs' ? [blobStore.rootDir] : []),
    ...(metadataStore.kind === 'lmdb' ? [metadataStore.path] : []),
  ]
  return {
    configFiles: await Promise.all(
      files.map(async (file) => {
        const path = dirname(file)
        const state = await host.state(path)
        return { ...(await owned(file)), folder: state && { path, ...state } }
      }),
    ),
    hasLiteralSecrets: secrets.hasLiterals,
    privateFiles: await Promise.all(secrets.files.map((each) => privateFile(host, each))),
    stores: await Promise.all(stores.map(owned)),
    adminSocket: admin.socket === undefined ? undefined : await owned(admin.socket),
    adminFolder: admin.socket === undefined ? undefined : await owned(dirname(admin.socket)),
    auditFile: audit.file === undefined ? undefined : await owned(audit.file),
    uid,
  }
}

async function ownedFacts(host: Host, path: string): Promise<OwnedFacts> {
  const [state, mayWrite] = await Promise.all([host.state(path), host.mayWrite(path)])
  return { path, mode: state?.mode, uid: state?.uid, mayWrite }
}

async function privateFile(
  host: Host,
  named: Pick<PrivateFile, 'file' | 'named'>,
): Promise<PrivateFile> {
  const { mode, isEncrypted = false } = (await readKeyFile(host, named.file)) ?? {}
  return { ...named, mode, isEncrypted }
}

/** Undefined where it cannot be read. */
export async function readKeyFile(
  host: Host,
  file: string,
): Promise<{ readonly mode: number; readonly isEncrypted: boolean } | undefined> {
  const [state, text] = await Promise.all([host.state(file), host.text(file)])
  if (state === undefined || text === undefined) return undefined
  const isEncrypted = /^-----BEGIN ENCRYPTED|^Proc-Type:.*ENCRYPTED/m.test(text)
  return { mode: state.mode & 0o777, isEncrypted }
}
