// The rows of Supabase as this page knows them: camelCase, null left out. Columns are those of migrations/.

/** A job as its agent mirrored it. */
export interface CronMirrorJob {
  id: string
  projectId: string
  jobId: string
  name: string
  /** `cron`, `every`, `at`, `startup`; none for a task type, which runs on request alone. */
  scheduleKind?: string
  /** A cron expression; for `every` the period in milliseconds; for `at` an ISO instant. */
  scheduleExpr?: string
  tz?: string
  enabled: boolean
  nextRunAt?: string
  lastRunAt?: string
  lastStatus?: string
  lastDurationMs?: number
  instructions?: string
  updatedAt: string
  agentIds: string[]
  placement?: string
  source?: string
  description?: string
  tags?: string[]
  /** The JSON Schema of its payload; none when it takes no payload. */
  accepts?: JsonSchema
  timeoutS?: number
  overlap?: string
  retry?: Record<string, unknown>
  connectionId?: string
  consecutiveFailures: number
  pausedUntil?: string
}

export type JsonSchema = Record<string, unknown>
export type RequestStatus = 'queued' | 'running' | 'done' | 'error'

/** Somebody asked for a run. */
export interface CronRunRequest {
  id: string
  projectId: string
  jobId: string
  requestedBy?: string
  requestedAt: string
  status: RequestStatus
  pickedUpAt?: string
  completedAt?: string
  result?: RunResult
  payload?: unknown
  runAt: string
  expiresAt?: string
  attempts: number
  maxAttempts?: number
  lastError?: string
  claimedBy?: string
  cancelRequestedAt?: string
}

/** `result` of a finished request; its keys are the agent's. */
export interface RunResult {
  ok?: boolean
  reason?: string
  exit_code?: number | null
  duration_ms?: number | null
  stdout_tail?: string | null
  stderr_tail?: string | null
  error?: string | null
  run_id?: string | null
  agent_id?: string | null
  attempt?: number | null
}

export type RunStatus = 'running' | 'ok' | 'error' | 'timeout' | 'cancelled' | 'skipped' | 'missed' | 'lost'
export type RunTrigger = 'schedule' | 'request' | 'catch_up' | 'startup'

/** One attempt of a job, or one that did not happen (`skipped`, `missed`). */
export interface CronRun {
  id: string
  projectId: string
  jobId: string
  agentId: string
  requestId?: string
  trigger: RunTrigger
  scheduledFor?: string
  attempt: number
  status: RunStatus
  reason?: string
  startedAt?: string
  finishedAt?: string
  durationMs?: number
  exitCode?: number
  /** The tail; lists leave it out. */
  output?: string
  error?: string
  createdAt: string
  /** In lists: when it took place, or should have. `runAt()` gives the same of any run. */
  at?: string
}

/** When a run took place, or should have. */
export function runAt(run: CronRun): string {
  return run.at ?? run.startedAt ?? run.scheduledFor ?? run.createdAt
}

/** A run as its job's strip shows it. */
export interface RecentRun {
  id: string
  jobId: string
  status: RunStatus
  reason?: string
  trigger: RunTrigger
  at: string
  durationMs?: number
}

/** A piece of live output. */
export interface CronRunLog {
  runId: string
  seq: number
  at: string
  stream: 'stdout' | 'stderr'
  text: string
}

export interface CronAgent {
  id: string
  projectId: string
  agentId: string
  name?: string
  version?: string
  hostname?: string
  platform?: string
  epoch: number
  startedAt?: string
  connectedSince?: string
  state: 'online' | 'draining' | 'stopped'
  realtime: 'connected' | 'polling'
  running: number
  jobs: number
  configError?: string
  clockSkewMs?: number
  lastSyncAt?: string
  probeAt?: string
  pausedUntil?: string
  pausedMode?: PauseMode
  /** The pause that was set on the box itself; only there is it lifted. */
  boxPausedUntil?: string
  boxPausedMode?: PauseMode
  info?: Record<string, unknown>
}

/** When an agent was last heard of; not published through Realtime, so it is polled. */
export interface CronAgentBeat {
  projectId: string
  agentId: string
  lastSeenAt: string
  /** When this was read, by the server's clock (ms). */
  readAt?: number
  /** It has been said that this agent is gone: since when it is silent. */
  offlineSince?: string
}

export type Severity = 'info' | 'warning' | 'critical'

/** One change of state that people are told of. */
export interface CronNotification {
  id: string
  projectId: string
  type: string
  severity: Severity
  title: string
  body: string
  /** `job:ID`, `connection:ID` or `agent:ID`. */
  subject: string
  agentId?: string
  createdAt: string
  /** By somebody of the project, for all of it. */
  readAt?: string
  /** Nobody was told: its subject was snoozed. */
  snoozed: boolean
  /** By channel: state, attempts, at, error. */
  deliveries: Record<string, unknown>
}

/** A subject that nobody wants to hear of for a while. */
export interface CronSnooze {
  subject: string
  until: string
  by?: string
}

/** Where an OAuth connection stands. No token is in it: those stay on the agent's machine. */
export interface CronConnection {
  id: string
  projectId: string
  connectionId: string
  agentId: string
  provider: string
  account?: string
  scopes: string[]
  /** A token is there and nobody has to sign in. */
  isActive: boolean
  tokenExpiresAt?: string
  needsReauth: boolean
  lastRefreshAt?: string
  lastRefreshError?: string
  lastFailureKind?: 'transient' | 'permanent' | 'rate_limit'
  consecutiveFailures: number
  consecutiveTransientFailures: number
  updatedAt: string
}

/** A sign-in of a connection that this admin began. It is over 10 minutes later at the latest. */
export interface CronReconnect {
  id: string
  projectId: string
  connectionId: string
  agentId: string
  requestedAt: string
  /** Asked for, begun by the agent, code handed over; then the end. */
  status: 'asked' | 'waiting' | 'given' | 'done' | 'error'
  /** Where to sign in, in a browser; or where to type `userCode`. */
  authorizationUrl?: string
  verificationUri?: string
  userCode?: string
  state?: string
  otherAccountOk: boolean
  error?: string
  expiresAt: string
  completedAt?: string
}

export type PauseMode = 'all' | 'schedule'
export type Role = 'viewer' | 'operator' | 'admin' | 'agent'

/** A project this person may read; `role` is undefined where it is open to everybody. */
export interface CronProject {
  projectId: string
  openAccess: boolean
  pausedUntil?: string
  pausedMode?: PauseMode
  role?: Role
}

/** May this person queue, cancel and pause here? The database decides; this only hides what it would refuse. */
export function mayOperate(project: CronProject | undefined): boolean {
  return Boolean(project && (project.openAccess || project.role === 'operator' || project.role === 'admin'))
}

/** May this person sign connections in again? */
export function mayAdminister(project: CronProject | undefined): boolean {
  return project?.role === 'admin'
}

export type Row = Record<string, unknown>

/** A row's keys in camelCase, null left out; values (jsonb among them) untouched. */
export function camel<T>(row: Row): T {
  const result: Row = {}
  for (const [key, value] of Object.entries(row)) {
    if (value !== null) result[toCamel(key)] = value
  }
  return result as T
}

/** What PostgREST answered. */
export function camelRows<T>(found: unknown): T[] {
  return (found as Row[]).map((row) => camel<T>(row))
}

export function toCamel(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

export const JOB_COLUMNS =
  'id,project_id,job_id,name,schedule_kind,schedule_expr,tz,enabled,next_run_at,last_run_at,last_status,' +
  'last_duration_ms,instructions,updated_at,agent_ids,placement,source,description,tags,accepts,timeout_s,overlap,' +
  'retry,connection_id,consecutive_failures,paused_until'
export const REQUEST_COLUMNS =
  'id,project_id,job_id,requested_by,requested_at,status,picked_up_at,completed_at,result,payload,run_at,expires_at,' +
  'attempts,max_attempts,last_error,claimed_by,cancel_requested_at'
/** Of a list: without the output, which is up to 64 KiB each. */
export const RUN_LIST_COLUMNS =
  'id,project_id,job_id,agent_id,request_id,trigger,scheduled_for,attempt,status,reason,started_at,finished_at,' +
  'duration_ms,exit_code,error,created_at'
export const RUN_COLUMNS = `${RUN_LIST_COLUMNS},output`
export const AGENT_COLUMNS =
  'id,project_id,agent_id,name,version,hostname,platform,epoch,started_at,connected_since,state,realtime,running,jobs,' +
  'config_error,clock_skew_ms,last_sync_at,probe_at,paused_until,paused_mode,box_paused_until,box_paused_mode,info'
export const NOTIFICATION_COLUMNS = 'id,project_id,type,severity,title,body,subject,agent_id,created_at,read_at,snoozed,deliveries'
export const CONNECTION_COLUMNS =
  'id,project_id,connection_id,agent_id,provider,account,scopes,is_active,token_expires_at,needs_reauth,last_refresh_at,' +
  'last_refresh_error,last_failure_kind,consecutive_failures,consecutive_transient_failures,updated_at'
export const RECONNECT_COLUMNS =
  'id,project_id,connection_id,agent_id,requested_at,status,authorization_url,verification_uri,user_code,state,' +
  'other_account_ok,error,expires_at,completed_at'
