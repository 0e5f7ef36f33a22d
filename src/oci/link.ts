// The Link header that leads to the next page of a list.

/** `path` is the path of this page, without its query; `params` the query of the next. Source: RFC 8288. */
export function linkNext(path: string, params: Readonly<Record<string, string>>): string {
  return `<${path}?${new URLSearchParams(params)}>; rel="next"`
}
