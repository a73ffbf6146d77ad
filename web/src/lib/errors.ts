// What can go wrong between this page and Supabase, sorted by what a person can do about it.

export type ErrorKind =
  | 'unreachable' // network, DNS, 5xx of a gateway: wait, try again
  | 'key' // the publishable key is not this project's
  | 'session' // the access token has expired or is not accepted: sign in again
  | 'forbidden' // the database's rules say no
  | 'schema' // the migrations are missing or older than this page
  | 'refused' // anything else the server said no to

export class ApiError extends Error {
  readonly kind: ErrorKind
  readonly code: string
  readonly hint?: string

  constructor(kind: ErrorKind, message: string, code = '', hint?: string) {
    super(message)
    this.name = 'ApiError'
    this.kind = kind
    this.code = code
    this.hint = hint
  }
}

interface Answer<T> {
  data: T
  error: { message: string; code?: string; hint?: string | null } | null
  status: number
}

/** The data of a PostgREST answer, or an ApiError. */
export function must<T>({ data, error, status }: Answer<T>): NonNullable<T> {
  if (error) throw toApiError(error, status)
  return data as NonNullable<T>
}

export function toApiError(error: { message: string; code?: string; hint?: string | null }, status: number): ApiError {
  const code = error.code ?? ''
  const message = error.message || `the server answered ${status}`
  return new ApiError(kindOf(message, code, status), message, code, error.hint ?? undefined)
}

function kindOf(message: string, code: string, status: number): ErrorKind {
  if (['PGRST301', 'PGRST302', 'PGRST303'].includes(code) || /jwt (has )?expired/i.test(message)) return 'session'
  if (['PGRST202', 'PGRST205', '42P01', '42883', '42703'].includes(code)) return 'schema'
  if (status === 401 && /api ?key/i.test(message)) return 'key'
  if (code === '42501' || status === 401 || status === 403) return 'forbidden'
  if (status === 0 || [408, 429, 502, 503, 504, 520, 521, 522, 523, 524, 540].includes(status)) return 'unreachable'
  if (/failed to fetch|networkerror|load failed|aborted|timed? ?out/i.test(message) && !code) return 'unreachable'
  return 'refused'
}

/** For people: what happened, and the hint when there is one. */
export function explain(error: unknown): string {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error)
  if (error.kind === 'unreachable') return 'Supabase cannot be reached right now.'
  return error.hint ? `${error.message}. ${error.hint}` : error.message
}
