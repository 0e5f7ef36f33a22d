// Where in a bucket a store lies. Apart, since it needs no client.

/** What Docker Distribution has between its `rootdirectory` and its keys. */
const distributionRoot = 'docker/registry/v2'

/** What all keys of a store begin with; ends in a slash. `prefix`: of the configuration. */
export function rootOf(prefix: string): string {
  const plain = prefix.replace(/^\/+|\/+$/g, '')
  if (plain === distributionRoot || plain.endsWith(`/${distributionRoot}`)) return `${plain}/`
  return plain === '' ? `${distributionRoot}/` : `${plain}/${distributionRoot}/`
}
