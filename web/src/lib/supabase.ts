// The Supabase client, who is signed in, and the current project. Created once, when the configuration is known.

import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import type { Configuration } from './configuration'
import { memory, store } from './store'

export type SessionState =
  | { kind: 'loading' }
  /** `ended`: it was not this person who signed out (expired, revoked, signed out elsewhere). */
  | { kind: 'out'; ended?: boolean }
  | { kind: 'in'; userId: string; email: string }

const TIMEOUT_MS = 15_000
const PROJECT = 'cronmirror.project'

export const session = store<SessionState>({ kind: 'loading' })
/** The project that every list follows; undefined until the projects are known. */
export const currentProject = store<string | undefined>(undefined)

/** The project to ask for; pages are only shown when there is one. */
export function project(): string {
  const chosen = currentProject.get()
  if (!chosen) throw new Error('no project is chosen')
  return chosen
}

const SESSION = 'cronmirror.session'

let client: SupabaseClient | undefined
let used: Configuration | undefined
let leaving = false

export function supabase(): SupabaseClient {
  if (!client) throw new Error('not configured yet')
  return client
}

export function configuration(): Configuration {
  if (!used) throw new Error('not configured yet')
  return used
}

/** Create the client and watch its session. A sign-in link of `cronmirror` in the address is used, and removed from it. */
export async function connect(given: Configuration): Promise<void> {
  const link = takeSignIn(location.hash)
  if (link) history.replaceState(null, '', `${location.pathname}${location.search}#/jobs`)
  used = given
  client = createClient(given.url, given.key, {
    auth: {
      storageKey: storageKey(),
      // Never takes tokens out of an address by itself: a link could sign somebody in as somebody else.
      detectSessionInUrl: false,
    },
    // Asking again is TanStack Query's.
    db: { retry: false },
    global: { fetch: fetchInTime },
    realtime: { heartbeatIntervalMs: 15_000 },
  })
  // Whose session it is stands here; whether it still counts Supabase says, when it can be reached.
  const kept = keptPerson()
  if (kept) session.set(kept)
  client.auth.onAuthStateChange((event, found) => {
    const before = session.get().kind
    if (found) setPerson(found.user.id, found.user.email)
    // An expired one could not be renewed just now: it stays until Supabase says that it has ended.
    else if (event === 'INITIAL_SESSION' && (before === 'out' || keptPerson())) return
    else session.set({ kind: 'out', ended: before === 'in' && !leaving })
  })
  // Only on a page that this machine serves itself.
  if (link && given.local) await client.auth.setSession(link)
}

function setPerson(userId: string, email = userId): void {
  const now = session.get()
  if (now.kind !== 'in' || now.userId !== userId || now.email !== email) session.set({ kind: 'in', userId, email })
}

const storageKey = () => `${SESSION}.${new URL(configuration().url).host}`

/** The person of the session as supabase-js keeps it for all tabs. */
export function keptPerson(): Extract<SessionState, { kind: 'in' }> | undefined {
  try {
    const { id, email } = (JSON.parse(memory.read(storageKey()) ?? '') as { user: { id?: unknown; email?: unknown } }).user
    if (typeof id === 'string') return { kind: 'in', userId: id, email: typeof email === 'string' && email ? email : id }
  } catch {
    // None, or nothing that one could read: supabase-js takes it away.
  }
  return undefined
}

async function fetchInTime(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
  // While its session can't be renewed supabase-js asks as nobody, whom the database shows an empty project.
  const nobody = new Headers(init.headers).get('authorization') === `Bearer ${used?.key}`
  if (nobody && session.get().kind === 'in' && new URL(String(input)).pathname.startsWith('/rest/')) {
    throw new TypeError('the session could not be renewed')
  }
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  const answer = await fetch(input, { ...init, signal: init.signal ? AbortSignal.any([init.signal, timeout]) : timeout })
  const told = Date.parse(answer.headers.get('date') ?? '')
  if (told) skewMs = told - Date.now()
  return answer
}

/** Somebody is signed in whose session can't be renewed just now: whatever is asked would be asked as nobody. */
export async function isLocked(): Promise<boolean> {
  return session.get().kind === 'in' && !(await supabase().auth.getSession()).data.session
}

let skewMs = 0
/** The time by the server's clock, to a second or so; by ours until it has answered, or where its answer hides it. */
export function serverNow(): number {
  return Date.now() + (Math.abs(skewMs) > 2000 ? skewMs : 0)
}

/** The tokens of `#/signin?access_token=…&refresh_token=…`, or undefined. */
export function takeSignIn(hash: string): { access_token: string; refresh_token: string } | undefined {
  const [path, query] = hash.split('?')
  if (path !== '#/signin' || !query) return undefined
  const given = new URLSearchParams(query)
  const access_token = given.get('access_token')
  const refresh_token = given.get('refresh_token')
  return access_token && refresh_token ? { access_token, refresh_token } : undefined
}

/** Sign in; the message for the person when it fails. */
export async function signIn(email: string, password: string): Promise<string | undefined> {
  const { error } = await supabase().auth.signInWithPassword({ email, password })
  if (!error) return undefined
  if (error.code === 'invalid_credentials' || error.status === 400) return 'E-mail address or password is wrong.'
  if (error.status === 429) return 'Too many attempts. Wait a minute.'
  return error.name === 'AuthRetryableFetchError' ? 'Supabase cannot be reached right now.' : error.message
}

export async function signOut(): Promise<void> {
  leaving = true
  try {
    await supabase().auth.signOut({ scope: 'local' })
  } finally {
    leaving = false
  }
}

/** After an answer that says the token is no good: one refresh for all that ask; it ends the session when that fails for good. */
let refreshing: Promise<unknown> | undefined
export function refreshSession(): Promise<unknown> {
  refreshing ??= supabase()
    .auth.refreshSession()
    .finally(() => {
      refreshing = undefined
    })
  return refreshing
}

export function chooseProject(projectId: string): void {
  memory.write(`${PROJECT}.${new URL(configuration().url).host}`, projectId)
  currentProject.set(projectId)
}

/** Of these projects: the one chosen last time, else the configured one, else the first. */
export function settleProject(projectIds: string[]): string | undefined {
  const wanted = [currentProject.get(), memory.read(`${PROJECT}.${new URL(configuration().url).host}`), configuration().project]
  const settled = wanted.find((each) => each !== undefined && projectIds.includes(each)) ?? projectIds[0]
  currentProject.set(settled)
  return settled
}
