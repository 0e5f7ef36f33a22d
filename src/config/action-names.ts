// The actions that limits and the audit log may name, as policies name them.

/** In the order of the documents. A test holds them to what is served. */
export const actionNames: readonly string[] = [
  'get-api-version',
  'get-token',
  'list-catalog',
  'list-tags',
  'get-referrers',
  'get-manifest',
  'put-manifest',
  'delete-manifest',
  'get-blob',
  'delete-blob',
  'start-upload',
  'mount-blob',
  'get-upload',
  'update-upload',
  'complete-upload',
  'cancel-upload',
  'metrics',
  'healthz',
  'readyz',
]
