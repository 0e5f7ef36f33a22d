// Checks whose the files of the server are, and who else may read or change them.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'
import { quoted, shownMode } from '../wording.ts'

/** A file that holds a secret: a private key, a password, a token. */
export interface PrivateFile {
  readonly file: string
  /** Which part of the configuration names it. */
  readonly named: string
  /** Permission bits; undefined where it cannot be looked at. */
  readonly mode: number | undefined
  readonly isEncrypted: boolean
}

export interface OwnedFacts {
  readonly path: string
  /** Undefined where it is not there. */
  readonly mode: number | undefined
  readonly uid: number | undefined
  readonly mayWrite: boolean
}

export interface ConfigFileFacts extends OwnedFacts {
  /** Of the directory that it is in. */
  readonly folder:
    | { readonly path: string; readonly mode: number; readonly uid: number }
    | undefined
}

export interface FileFacts {
  readonly configFiles: readonly ConfigFileFacts[]
  /** Something in them is secret by itself: a password, a token, or a hash of one. */
  readonly hasLiteralSecrets: boolean
  readonly privateFiles: readonly PrivateFile[]
  /** Directories of the stores. */
  readonly stores: readonly OwnedFacts[]
  readonly adminSocket: OwnedFacts | undefined
  readonly adminFolder: OwnedFacts | undefined
  readonly auditFile: OwnedFacts | undefined
  /** Who asks. */
  readonly uid: number
}

export const fileRows = {
  'config-file': {
    title: 'configuration file',
    why: 'who may change it decides who may enter, and who may read it knows the secrets that are written there',
    link: 'docs/doctor.md#files',
    error: 'the file, or the directory that it is in, may be changed by everybody',
    warning:
      'its group may change it, everybody may read it while a secret or a hash is written there, or it belongs to neither root nor who asks nor the owner of the store',
    atStart: true,
  },
  'secret-file': {
    title: 'files with secrets',
    why: 'who reads the secret can be the server, or whoever it stands for',
    link: 'docs/doctor.md#files',
    error: 'it cannot be read',
    warning: 'others than its owner may reach it, unless it is encrypted',
    atStart: true,
  },
  store: {
    title: 'store',
    why: 'who reads it needs no login to pull, and who writes it can change what was pushed',
    link: 'docs/doctor.md#files',
    error: 'whoever asks may not write it, or everybody may',
    warning: 'everybody may read it',
    advice: 'root asks, and it belongs to somebody else: root sees no trouble with permissions',
    atStart: true,
  },
  'admin-socket': {
    title: 'admin socket',
    why: 'who may open it can make tokens',
    link: 'docs/doctor.md#files',
    error: 'others than its owner may open it, or everybody may replace it',
    atStart: true,
  },
  'audit-file': {
    title: 'audit log',
    why: 'it tells who uses what, and who may change it can hide that',
    link: 'docs/audit.md#the-audit-log',
    error: 'everybody may change it',
    warning: 'everybody may read it, or its group may change it',
    atStart: true,
  },
} as const

const say = sayingsOf(fileRows)

export function checkFiles(facts: FileFacts): readonly Finding[] {
  return [
    ...facts.configFiles.map((file) => checkConfigFile(file, facts)),
    ...checkPrivateFiles(facts.privateFiles),
    ...facts.stores.map((store) => checkStore(store, facts.uid)),
    ...checkAdmin(facts),
    ...checkAudit(facts.auditFile),
  ]
}

function checkConfigFile(
  { path, mode, uid, folder }: ConfigFileFacts,
  { hasLiteralSecrets, stores, uid: asker }: FileFacts,
): Finding {
  if (mode === undefined) return say.unknown('config-file', 'its mode cannot be read', path)
  const shown = `mode ${shownMode(mode)}`
  const close = { remedy: 'let its owner alone change it', command: `chmod go-w ${quoted(path)}` }
  if ((mode & 0o002) !== 0) {
    return say.error('config-file', `${shown}: everybody may change it`, close, path)
  }
  // In a directory with the sticky bit, such as /tmp, one may take away only what is one's own.
  if (folder !== undefined && (folder.mode & 0o1002) === 0o002) {
    const detail = `everybody may replace it: ${folder.path} has mode ${shownMode(folder.mode)}`
    const command = `chmod o-w ${quoted(folder.path)}`
    return say.error('config-file', detail, { remedy: 'close the directory', command }, path)
  }
  if ((mode & 0o020) !== 0) {
    return say.warning('config-file', `${shown}: its group may change it`, close, path)
  }
  if (hasLiteralSecrets && (mode & 0o004) !== 0) {
    const detail = `${shown}: everybody may read it, and it holds secrets`
    const fix = {
      remedy: 'close it, or write secrets as { file = "…" } or { credential = "…" }',
      command: `chmod o-r ${quoted(path)}`,
    }
    return say.warning('config-file', detail, fix, path)
  }
  const known = [0, asker, ...stores.map((store) => store.uid)]
  if (!known.includes(uid)) {
    const command = `chown root ${quoted(path)}`
    const detail = `it belongs to user ${uid}, who can change it`
    return say.warning('config-file', detail, { remedy: 'give it to root', command }, path)
  }
  return say.ok('config-file', shown, path)
}

export function checkPrivateFiles(files: readonly PrivateFile[]): readonly Finding[] {
  if (files.length === 0) return []
  const findings = files.flatMap((each) => privateFinding(each) ?? [])
  if (findings.length > 0) return findings
  const count = files.length === 1 ? 'one file' : `${files.length} files`
  return [say.ok('secret-file', `${count}, for the owner alone`)]
}

function privateFinding({ file, named, mode, isEncrypted }: PrivateFile): Finding | undefined {
  if (mode === undefined) {
    const remedy = 'put it there, where the user of the server may read it'
    const command = `ls -l ${quoted(file)}`
    return say.error('secret-file', `${file} (${named}) cannot be read`, { remedy, command })
  }
  if (isEncrypted || (mode & 0o077) === 0) return undefined
  const who = (mode & 0o007) === 0 ? 'its group may reach it' : 'others may reach it'
  return say.warning('secret-file', `${file} (${named}) has mode ${shownMode(mode)}: ${who}`, {
    remedy: 'close it, and renew what it holds',
    command: `chmod 600 ${quoted(file)}`,
  })
}

function checkStore({ path, mode, uid, mayWrite }: OwnedFacts, asker: number): Finding {
  if (mode === undefined) return say.ok('store', 'it is made at the first start', path)
  const shown = `mode ${shownMode(mode)}`
  if ((mode & 0o002) !== 0) {
    const command = `chmod 700 ${quoted(path)}`
    const detail = `${shown}: everybody may change it`
    return say.error('store', detail, { remedy: 'close it', command }, path)
  }
  if (!mayWrite) {
    const detail = `user ${asker} may not write it; it belongs to user ${uid}`
    const fix = {
      remedy: 'run this as the user of the server, or give the store to that user',
      command: `chown -R ${asker} ${quoted(path)}`,
    }
    return say.error('store', detail, fix, path)
  }
  if ((mode & 0o005) !== 0) {
    const command = `chmod 700 ${quoted(path)}`
    return say.warning(
      'store',
      `${shown}: everybody may read it`,
      { remedy: 'close it', command },
      path,
    )
  }
  if (asker === 0 && uid !== 0) {
    const detail = `it belongs to user ${uid}, and root asks`
    const command = `runuser -u '#${uid}' -- keelson doctor`
    return say.advice(
      'store',
      detail,
      { remedy: 'run this as the user of the server', command },
      path,
    )
  }
  return say.ok('store', shown, path)
}

function checkAdmin({ adminSocket, adminFolder }: FileFacts): readonly Finding[] {
  if (adminSocket === undefined) return []
  const { path, mode } = adminSocket
  if (adminFolder?.mode !== undefined && (adminFolder.mode & 0o1002) === 0o002) {
    const detail = `everybody may replace it: ${adminFolder.path} has mode ${shownMode(adminFolder.mode)}`
    const command = `chmod o-w ${quoted(adminFolder.path)}`
    return [say.error('admin-socket', detail, { remedy: 'close the directory', command }, path)]
  }
  if (mode === undefined) return [say.ok('admin-socket', 'it is made when the server starts', path)]
  if ((mode & 0o077) !== 0) {
    const detail = `mode ${shownMode(mode)}: others may open it`
    const command = `chmod 600 ${quoted(path)}`
    return [say.error('admin-socket', detail, { remedy: 'close it', command }, path)]
  }
  return [say.ok('admin-socket', `mode ${shownMode(mode)}`, path)]
}

function checkAudit(file: OwnedFacts | undefined): readonly Finding[] {
  if (file?.mode === undefined) return []
  const { path, mode } = file
  const shown = `mode ${shownMode(mode)}`
  const fix = { remedy: 'close it', command: `chmod 600 ${quoted(path)}` }
  if ((mode & 0o002) !== 0) {
    return [say.error('audit-file', `${shown}: everybody may change it`, fix, path)]
  }
  if ((mode & 0o024) !== 0) {
    const who = (mode & 0o020) !== 0 ? 'its group may change it' : 'everybody may read it'
    return [say.warning('audit-file', `${shown}: ${who}`, fix, path)]
  }
  return [say.ok('audit-file', shown, path)]
}
