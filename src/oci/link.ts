// The Link header that leads to the next page of a list.

/**
 * The value of a Link header. `path` is this page's, without its query; `params` is the next page's query.
 * Source: distribution-spec "Listing tags"; RFC 8288 §3.
 */
export function linkNext(path: string, params: Readonly<Record<string, string>>): string {
  return `<${path}?${new URLSearchParams(params)}>; rel="next"`
}
