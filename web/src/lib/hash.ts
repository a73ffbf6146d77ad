// Routes live in the hash, `#/runs?status=error`, query included: deep links then work on any static host, under any path.
// wouter's own hash hook puts the query before the hash.

import { useSyncExternalStore } from 'react'

const parts = () => {
  const [path = '', ...query] = location.hash.replace(/^#?\/?/, '').split('?')
  return { path: `/${path}`, query: query.join('?') }
}

function watch(listener: () => void): () => void {
  addEventListener('hashchange', listener)
  return () => removeEventListener('hashchange', listener)
}

/** `/runs?status=error`, or `?status=error` to keep the path. `replace`: no new entry in the history. */
export function navigate(to: string, options: { replace?: boolean; state?: unknown } = {}): void {
  const hash = `#${to.startsWith('?') ? parts().path + (to === '?' ? '' : to) : to}`
  if (hash === location.hash) return
  if (options.replace) history.replaceState(options.state ?? null, '', hash)
  else history.pushState(options.state ?? null, '', hash)
  dispatchEvent(new HashChangeEvent('hashchange'))
}

/** wouter's location hook: the path of the hash. */
export function useHashPath(): [string, typeof navigate] {
  return [useSyncExternalStore(watch, () => parts().path), navigate]
}
useHashPath.hrefs = (href: string) => `#${href}`

/** wouter's search hook: the query of the hash. */
export function useHashSearch(): string {
  return useSyncExternalStore(watch, () => parts().query)
}

/** The filters in the hash, and a change of some of them; `undefined` or an empty text takes one out. */
export function useFilters(): [URLSearchParams, (changes: Record<string, string | undefined>) => void] {
  const given = new URLSearchParams(useHashSearch())
  const change = (changes: Record<string, string | undefined>) => {
    const next = new URLSearchParams(parts().query)
    for (const [key, value] of Object.entries(changes)) {
      if (value) next.set(key, value)
      else next.delete(key)
    }
    navigate(`?${next}`, { replace: true })
  }
  return [given, change]
}

/** The id in `#/jobs/:id`: exactly as it was put in (job ids may hold slashes and percent signs). */
export function useRouteId(): string {
  const encoded = useHashPath()[0].split('/')[2] ?? ''
  try {
    return decodeURIComponent(encoded)
  } catch {
    return encoded
  }
}

/** Whether an address names a row at all: what is none, Postgres would refuse with an error of its own. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
}

/** Paths of this page's routes. */
export const to = {
  jobs: () => '/jobs',
  job: (jobId: string) => `/jobs/${encodeURIComponent(jobId)}`,
  runs: (filters: Record<string, string> = {}) => withQuery('/runs', filters),
  run: (runId: string) => `/runs/${encodeURIComponent(runId)}`,
  request: (requestId: string) => `/requests/${encodeURIComponent(requestId)}`,
  timeline: () => '/timeline',
  agents: () => '/agents',
  /** `id`: the one to look at. */
  connections: (id?: string) => withQuery('/connections', id === undefined ? {} : { id }),
  notifications: () => '/notifications',
  settings: () => '/settings',
}

function withQuery(path: string, filters: Record<string, string>): string {
  const query = new URLSearchParams(filters).toString()
  return query ? `${path}?${query}` : path
}
