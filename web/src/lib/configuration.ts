// Which Supabase project this page talks to: config.json beside index.html, else what was entered on the set-up screen.

import { memory } from './store'

export interface Configuration {
  url: string
  /** The publishable (or legacy anon) key: the only kind that may be in a page. */
  key: string
  project?: string
  controlUrl?: string
  /** Served by this machine's own stack or by `cronmirror dashboard`: sign-in by URL fragment is accepted. */
  local?: boolean
}

export type Loaded =
  | { kind: 'ready'; configuration: Configuration; from: 'file' | 'entered' }
  | { kind: 'unset'; problem?: string; entered?: Partial<Configuration> }

const ENTERED = 'cronmirror.configuration'

/** What is wrong with this key, or undefined. A secret key in a page gives everybody who opens it everything. */
export function keyProblem(key: string): string | undefined {
  if (!key) return 'The publishable key is missing.'
  if (key.startsWith('sb_secret_') || jwtRole(key) === 'service_role') {
    return (
      'This is a secret key: it passes every rule of the database and must never be in a page. ' +
      'Use the publishable key (sb_publishable_…), and replace this one if others may have seen it.'
    )
  }
  const role = jwtRole(key)
  if (!key.startsWith('sb_publishable_') && role !== 'anon') return 'This does not look like a publishable key (sb_publishable_…).'
  return undefined
}

/** What is wrong with this project URL, or undefined. */
export function urlProblem(url: string): string | undefined {
  if (!url) return 'The project URL is missing.'
  try {
    const { protocol, hostname } = new URL(url)
    if (protocol === 'https:' || (protocol === 'http:' && isPrivate(hostname))) return undefined
    return protocol === 'http:' ? 'Use https:// — passwords would cross the network readable.' : 'The project URL begins with https://'
  } catch {
    return 'This is not a URL; it looks like https://abcdefgh.supabase.co'
  }
}

/** This machine, or one of a private network (RFC 1918, RFC 6598 as Tailscale uses it). */
function isPrivate(host: string): boolean {
  if (host === 'localhost' || host === '[::1]' || /\.(local|localhost)$/.test(host)) return true
  const [a = 0, b = 0, ...rest] = /^\d+(\.\d+){3}$/.test(host) ? host.split('.').map(Number) : []
  if (rest.length !== 2) return false
  return a === 127 || a === 10 || (a === 192 && b === 168) || (a === 172 && b >= 16 && b < 32) || (a === 100 && b >= 64 && b < 128)
}

function jwtRole(key: string): string | undefined {
  const payload = key.split('.')[1]
  if (!key.startsWith('eyJ') || !payload) return undefined
  try {
    const claims: unknown = JSON.parse(atob(payload.replace(/-/g, '+').replace(/_/g, '/')))
    const role = (claims as { role?: unknown }).role
    return typeof role === 'string' ? role : undefined
  } catch {
    return undefined
  }
}

function parse(value: unknown): Partial<Configuration> {
  if (typeof value !== 'object' || value === null) return {}
  const given = value as Record<string, unknown>
  const text = (key: string) => (typeof given[key] === 'string' ? (given[key] as string).trim() || undefined : undefined)
  return {
    url: text('url')?.replace(/\/+$/, ''),
    key: text('key'),
    project: text('project'),
    controlUrl: text('controlUrl')?.replace(/\/+$/, ''),
    local: given.local === true,
  }
}

function judge(found: Partial<Configuration>, from: 'file' | 'entered'): Loaded {
  const problem = urlProblem(found.url ?? '') ?? keyProblem(found.key ?? '')
  if (problem) return { kind: 'unset', problem, entered: { ...found, key: keyProblem(found.key ?? '') ? undefined : found.key } }
  return { kind: 'ready', configuration: found as Configuration, from }
}

/** config.json wins over what was entered: whoever hosts the page decides. */
export async function loadConfiguration(get: typeof fetch = fetch): Promise<Loaded> {
  try {
    const answer = await get('./config.json', { cache: 'no-cache' })
    if (answer.ok) {
      const found = parse(await answer.json())
      if (found.url || found.key) return judge(found, 'file')
    }
  } catch {
    // None, or a host that answers everything with index.html: the set-up screen takes over.
  }
  const entered = memory.read(ENTERED)
  if (!entered) return { kind: 'unset' }
  try {
    return judge(parse(JSON.parse(entered)), 'entered')
  } catch {
    return { kind: 'unset' }
  }
}

/** Remember what was entered; `undefined` forgets it. The page begins anew with it after a reload. */
export function rememberConfiguration(configuration: Configuration | undefined): void {
  memory.write(ENTERED, configuration && JSON.stringify({ ...configuration, local: undefined }))
}
