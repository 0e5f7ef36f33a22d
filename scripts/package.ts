// `npm run package`: makes a tarball and a Debian package that bring everything but systemd and the C
// library along, in dist/package. `--version` names another version than package.json's, `--out` another
// folder, `--compression none` saves time in tests. The same sources give the same bytes.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildDeb } from './package/deb.ts'
import { stageProgram } from './package/program.ts'
import { settle, type Target } from './package/target.ts'

const debArchitectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

function readTarget(): Target {
  const { values } = parseArgs({
    options: {
      version: { type: 'string' },
      out: { type: 'string', default: join('dist', 'package') },
      compression: { type: 'string', default: 'gzip' },
    },
  })
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  const { arch, platform } = process
  const debArchitecture = debArchitectures[arch]
  if (platform !== 'linux' || debArchitecture === undefined) {
    throw new Error(`packages are made on Linux on x64 or arm64; this is ${platform} on ${arch}`)
  }
  if (values.compression !== 'gzip' && values.compression !== 'none') {
    throw new Error(`--compression is gzip or none; found ${values.compression}`)
  }
  return {
    ...{ version: values.version ?? version, arch, debArchitecture, out: values.out },
    ...{ compression: values.compression, epoch: sourceDate() },
  }
}

/** Seconds: when these sources were last changed, for everybody who builds them. */
function sourceDate(): number {
  const told = process.env['SOURCE_DATE_EPOCH']
  if (told !== undefined && /^\d+$/.test(told)) return Number(told)
  try {
    return Number(execFileSync('git', ['log', '-1', '--format=%ct'], { encoding: 'utf8' }))
  } catch {
    throw new Error('no git history tells the date of the sources: set SOURCE_DATE_EPOCH')
  }
}

function writeTarball(program: string, target: Target): string {
  const isSmall = target.compression === 'gzip'
  const file = join(
    target.out,
    `keelson-${target.version}-linux-${target.arch}.tar${isSmall ? '.gz' : ''}`,
  )
  const order = ['--sort=name', `--mtime=@${target.epoch}`, '--owner=0', '--group=0']
  const form = [
    '--numeric-owner',
    '--format=gnu',
    ...(isSmall ? ['--use-compress-program=gzip -n'] : []),
  ]
  const top = `--transform=s,^\\.,keelson-${target.version},`
  execFileSync('tar', [...order, ...form, top, '-C', program, '-cf', file, '.'])
  return file
}

function report(file: string): void {
  const sum = createHash('sha256').update(readFileSync(file)).digest('hex')
  console.log(`${sum}  ${file} (${Math.round(statSync(file).size / 2 ** 20)} MiB)`)
}

const target = readTarget()
const scratch = mkdtempSync(join(tmpdir(), 'keelson-package-'))
try {
  mkdirSync(target.out, { recursive: true })
  const root = join(scratch, 'root')
  const program = join(root, 'opt', 'keelson')
  stageProgram(program, target)
  settle(program, target.epoch)
  report(writeTarball(program, target))
  report(buildDeb(root, target))
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
