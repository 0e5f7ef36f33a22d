// Which versions of the C and C++ libraries the bundled binaries need, as Debian names them.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

// When GCC gave its C++ library which version.
const gccOf: readonly (readonly [glibcxx: number, gcc: string])[] = [
  [33, '14'],
  [32, '13'],
  [30, '12'],
  [29, '11'],
  [28, '9'],
  [0, '8'],
]

/** Of every native addon and of Node.js below `folder`. */
export function requirements(folder: string): readonly string[] {
  const binaries = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.node') || name === join('lib', 'node'))
    .map((name) => readFileSync(join(folder, name), 'latin1'))
  const glibc = newest(binaries, /\0GLIBC_2\.(\d+)/g)
  const glibcxx = newest(binaries, /\0GLIBCXX_3\.4\.(\d+)/g)
  const gcc = gccOf.find(([minor]) => glibcxx >= minor)?.[1] ?? '8'
  return [`libc6 (>= 2.${glibc})`, 'libgcc-s1', `libstdc++6 (>= ${gcc})`]
}

function newest(binaries: readonly string[], version: RegExp): number {
  const minors = binaries.flatMap((text) => [...text.matchAll(version)].map(([, n]) => Number(n)))
  return minors.reduce((a, b) => Math.max(a, b), 0)
}
