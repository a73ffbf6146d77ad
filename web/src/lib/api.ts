// What this page asks of Supabase, under the signed-in person's rights, on the current project. Rows in camelCase.
// Every function throws ApiError, but for `queueCronRunRequest` and `runCronJob`, which answer `ok: false`.

import { controlApi, withControl } from './control'
import { explain, must } from './errors'
import {
  AGENT_COLUMNS,
  type CronAgent,
  type CronAgentBeat,
  type CronMirrorJob,
  type CronProject,
  type CronRun,
  type CronRunLog,
  type CronRunRequest,
  JOB_COLUMNS,
  type PauseMode,
  REQUEST_COLUMNS,
  type RecentRun,
  type Role,
  type Row,
  RUN_COLUMNS,
  RUN_LIST_COLUMNS,
  type RunStatus,
  type RunTrigger,
  camelRows as rows,
} from './rows'
import { project, serverNow, session, supabase } from './supabase'

export * from './connections'
export * from './notices'
export { subscribeToProjectRealtime } from './realtime'
export type * from './rows'

/** PostgREST cuts answers here without saying so; what may be longer is asked for in pages. */
const PAGE = 1000
/** How many requests the Jobs page lists. */
export const RECENT = 20
/** How many runs of a job its strip shows. */
export const STRIP = 20

// ── projects ────────────────────────────────────────────────────────────────

/** The projects this person may read, with his role; without sign-in those that are open to everybody. */
export async function getProjects(): Promise<CronProject[]> {
  const who = session.get()
  const projects = supabase().from('cron_projects').select('project_id,open_access,paused_until,paused_mode').order('project_id')
  if (who.kind !== 'in') return rows(must(await projects))
  const memberships = supabase().from('cron_project_members').select('project_id,role').eq('user_id', who.userId)
  const [found, mine] = await Promise.all([projects, memberships])
  const roles = new Map(rows<{ projectId: string; role: Role }>(must(mine)).map((each) => [each.projectId, each.role]))
  return rows<CronProject>(must(found)).map((each) => ({ ...each, role: roles.get(each.projectId) }))
}

// ── jobs ────────────────────────────────────────────────────────────────────

/** Every mirrored job of the project, however many. */
export async function getCronMirrorJobs(): Promise<CronMirrorJob[]> {
  const projectId = project()
  const jobs: CronMirrorJob[] = []
  for (let more = true; more; ) {
    const page = must(
      await supabase()
        .from('cron_mirror')
        .select(JOB_COLUMNS)
        .eq('project_id', projectId)
        .order('job_id')
        .order('id')
        .range(jobs.length, jobs.length + PAGE - 1),
    )
    jobs.push(...rows<CronMirrorJob>(page))
    more = page.length === PAGE
  }
  return jobs
}

export async function getCronMirrorJob(jobId: string): Promise<CronMirrorJob | undefined> {
  const found = supabase().from('cron_mirror').select(JOB_COLUMNS).eq('project_id', project()).eq('job_id', jobId).limit(1)
  return rows<CronMirrorJob>(must(await found))[0]
}

/** The jobs: the mirror, and where a Control API is configured and reachable what its agent says now of its own. */
export async function getCronJobs(): Promise<CronMirrorJob[]> {
  const [mirrored, told] = await Promise.allSettled([getCronMirrorJobs(), controlApi.getJobs(project())])
  const direct = told.status === 'fulfilled' ? told.value : undefined
  if (mirrored.status === 'fulfilled') return direct ? withControl(mirrored.value, direct) : mirrored.value
  if (direct) return direct
  throw mirrored.reason
}

/** Run a job: directly when a Control API is configured and reachable, else by a request that its agent picks up. */
export async function runCronJob(jobId: string, options: RunOptions = {}): Promise<Queued> {
  const later = options.runAt !== undefined || options.maxAttempts !== undefined
  const direct = later ? undefined : await controlApi.runJob(project(), jobId, randomId(), options.payload)
  return direct ?? queueCronRunRequest(jobId, options)
}

// ── requests ────────────────────────────────────────────────────────────────

export interface RunOptions {
  payload?: unknown
  runAt?: string
  maxAttempts?: number
}

export interface Queued {
  ok: boolean
  requestId?: string
  /** It began without a request, through the Control API. */
  direct?: boolean
  runId?: string
  /** Who serves the job now; may be empty while the mirror is behind. */
  agentIds?: string[]
  error?: string
}

/** Ask for a run. The id is made here, so that asking again after a lost answer queues nothing twice. */
export async function queueCronRunRequest(jobId: string, options: RunOptions = {}): Promise<Queued> {
  const asked = {
    p_project: project(),
    p_job_id: jobId,
    p_id: randomId(),
    ...(options.payload !== undefined && { p_payload: options.payload }),
    ...(options.runAt && { p_run_at: options.runAt }),
    ...(options.maxAttempts && { p_max_attempts: options.maxAttempts }),
  }
  let answer = await supabase().rpc('cron_request_run', asked)
  if (answer.error && answer.status === 0) answer = await supabase().rpc('cron_request_run', asked)
  try {
    const queued = must(answer) as { id: string; agent_ids: string[] }
    return { ok: true, requestId: queued.id, agentIds: queued.agent_ids }
  } catch (error) {
    return { ok: false, error: explain(error) }
  }
}

/** `crypto.randomUUID` is missing on a page that came over plain http from another machine. */
function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The newest requests of the project, or of one job. */
export async function getCronRunRequests(limit = RECENT, jobId?: string): Promise<CronRunRequest[]> {
  let query = supabase().from('cron_run_requests').select(REQUEST_COLUMNS).eq('project_id', project())
  if (jobId !== undefined) query = query.eq('job_id', jobId)
  return rows(must(await query.order('requested_at', { ascending: false }).limit(limit)))
}

/** Requests that wait or run, oldest first. */
export async function getOpenRequests(): Promise<CronRunRequest[]> {
  const query = supabase().from('cron_run_requests').select(REQUEST_COLUMNS).eq('project_id', project())
  return rows(must(await query.in('status', ['queued', 'running']).order('requested_at').limit(PAGE)))
}

/** By id alone: a deep link may lead to another project of this person's. */
export async function getRunRequest(requestId: string): Promise<CronRunRequest | undefined> {
  return rows<CronRunRequest>(must(await supabase().from('cron_run_requests').select(REQUEST_COLUMNS).eq('id', requestId)))[0]
}

/** Ask for its end: a queued one ends here and now, a running one when its agent obeys. */
export async function cancelRunRequest(requestId: string): Promise<void> {
  must(await supabase().rpc('cron_cancel_request', { p_project: project(), p_id: requestId }))
}

/** Ends what should have ended (expired, lost, unknown job); for a page that sees an overdue row. */
export async function sweepProject(): Promise<void> {
  must(await supabase().rpc('cron_sweep', { p_project: project() }))
}

// ── runs ────────────────────────────────────────────────────────────────────

export interface RunFilters {
  jobId?: string
  agentId?: string
  statuses?: RunStatus[]
  triggers?: RunTrigger[]
  /** Took place, or should have, from here on (ISO instant). */
  since?: string
  /** Before this instant. */
  until?: string
}

export interface RunPage {
  runs: CronRun[]
  /** Hand it back for the next page; undefined on the last one. */
  next?: string
}

/** A page of runs, newest first by `at`, without their output. */
export async function getRuns(filters: RunFilters = {}, after?: string, limit = 50): Promise<RunPage> {
  const page = must(
    await supabase().rpc('cron_list_runs', {
      p_project: project(),
      p_limit: limit,
      ...(filters.jobId !== undefined && { p_job_id: filters.jobId }),
      ...(filters.agentId !== undefined && { p_agent: filters.agentId }),
      ...(filters.statuses?.length && { p_statuses: filters.statuses }),
      ...(filters.triggers?.length && { p_triggers: filters.triggers }),
      ...(filters.since && { p_since: filters.since }),
      ...(filters.until && { p_until: filters.until }),
      ...(after && { p_before: JSON.parse(after) }),
    }),
  ) as { runs: Row[]; next: Row | null }
  return { runs: rows(page.runs), next: page.next ? JSON.stringify(page.next) : undefined }
}

/** The last 20 runs of each of these jobs, newest first, as little of them as a strip shows. At most 200 jobs. */
export async function getRecentRuns(jobIds: string[]): Promise<RecentRun[]> {
  const asked = { p_project: project(), p_job_ids: jobIds, p_each: STRIP }
  return rows((must(await supabase().rpc('cron_recent_runs', asked)) as { runs: Row[] }).runs)
}

/** Runs that go on now. */
export async function getRunningRuns(): Promise<CronRun[]> {
  const query = supabase().from('cron_runs').select(RUN_LIST_COLUMNS).eq('project_id', project()).eq('status', 'running')
  return rows(must(await query.order('started_at').limit(PAGE)))
}

/** With its output. By id alone: a deep link may lead to another project of this person's. */
export async function getRun(runId: string): Promise<CronRun | undefined> {
  return rows<CronRun>(must(await supabase().from('cron_runs').select(RUN_COLUMNS).eq('id', runId)))[0]
}

/** Every attempt that was made for a request, first to last. */
export async function getAttempts(requestId: string): Promise<CronRun[]> {
  return rows(must(await supabase().from('cron_runs').select(RUN_LIST_COLUMNS).eq('request_id', requestId).order('attempt')))
}

/** Live output after `seq`, in order; ask again while a page is full. Gone an hour after the run: then `output` has the tail. */
export async function getRunLogs(runId: string, after = -1, limit = PAGE): Promise<CronRunLog[]> {
  const query = supabase().from('cron_run_logs').select('run_id,seq,at,stream,text').eq('run_id', runId).gt('seq', after)
  return rows(must(await query.order('seq').limit(limit)))
}

/** Ids of jobs with a failed run since then: one may have failed so often that others are on later pages. */
export async function getFailingJobIds(since: string): Promise<string[]> {
  const found = new Set<string>()
  for (let page = 0, more = true; more && page < FAILING_PAGES; page++) {
    const query = supabase().from('cron_runs').select('job_id').eq('project_id', project()).gte('started_at', since)
    const failed = query.in('status', ['error', 'timeout', 'lost']).order('started_at', { ascending: false }).order('id')
    const runs = must(await failed.range(page * PAGE, (page + 1) * PAGE - 1))
    for (const run of runs) found.add(run.job_id as string)
    more = runs.length === PAGE
  }
  return [...found]
}
const FAILING_PAGES = 10

/** At most so many pages of runs for a few jobs: beyond, the picture is full anyway. */
const RUN_PAGES = 4

/** Runs of these jobs that began, or should have begun, since then; those that go on, whenever they began. */
export async function getRunsOfJobs(jobIds: string[], since: string): Promise<{ runs: CronRun[]; cut: boolean }> {
  const ask = () => supabase().from('cron_runs').select(RUN_LIST_COLUMNS).eq('project_id', project()).in('job_id', jobIds)
  const unbegun = ask().is('started_at', null).gte('scheduled_for', since).order('scheduled_for', { ascending: false }).limit(PAGE)
  const running = ask().eq('status', 'running').lt('started_at', since).limit(PAGE)
  const runs: CronRun[] = []
  let more = true
  for (let page = 0; more && page < RUN_PAGES; page++) {
    const begun = ask().gte('started_at', since).order('started_at', { ascending: false }).order('id')
    const found = rows<CronRun>(must(await begun.range(page * PAGE, (page + 1) * PAGE - 1)))
    runs.push(...found)
    more = found.length === PAGE
  }
  const [missed, long] = await Promise.all([unbegun, running])
  return { runs: [...runs, ...rows<CronRun>(must(missed)), ...rows<CronRun>(must(long))], cut: more }
}

// ── agents ──────────────────────────────────────────────────────────────────

export async function getAgents(): Promise<CronAgent[]> {
  return rows(must(await supabase().from('cron_agents').select(AGENT_COLUMNS).eq('project_id', project()).order('agent_id')))
}

/** When each agent was last heard of. Not published: ask every 15 s. */
export async function getAgentBeats(): Promise<CronAgentBeat[]> {
  const query = supabase().from('cron_agent_beats').select('project_id,agent_id,last_seen_at,offline_since').eq('project_id', project())
  return rows<CronAgentBeat>(must(await query)).map((beat) => ({ ...beat, readAt: serverNow() }))
}

/** Pause the project, or one agent; `none` resumes. `schedule` stops the timetable and still serves requests. */
export async function setPaused(mode: PauseMode | 'none', options: { agentId?: string; until?: string } = {}): Promise<void> {
  must(
    await supabase().rpc('cron_set_paused', {
      p_project: project(),
      p_mode: mode,
      ...(options.agentId !== undefined && { p_agent: options.agentId }),
      ...(options.until && { p_until: options.until }),
    }),
  )
}

export interface TableSize {
  rows: number
  /** Of the whole table, all projects together; told to admins. */
  bytes?: number
}

/** How much of this project Supabase keeps, by table. */
export async function getTableSizes(): Promise<Record<string, TableSize>> {
  const answer = must(await supabase().rpc('cron_table_sizes', { p_project: project() }))
  return (answer as { tables: Record<string, TableSize> }).tables
}
