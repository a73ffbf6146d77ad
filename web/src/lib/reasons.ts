// Why something ended as it did, or did not happen, in words: `cron_runs.reason`, `cron_run_requests.result.reason`.
// Each with what to do about it, where there is something. Pure.

export interface Reason {
  /** A heading: "Timed out". */
  title: string
  /** A sentence, for where the run has none of its own (`error`). */
  detail: string
  /** What to know or do, whatever the run says. */
  advice?: string
}

const ENDED: Readonly<Record<string, Reason>> = {
  exit_code: { title: 'Failed', detail: 'The command ended with an exit code other than 0.' },
  timeout: { title: 'Timed out', detail: "It took longer than the job's timeout and was ended." },
  cancelled: { title: 'Cancelled', detail: 'Somebody asked for its end.' },
  lost: {
    title: 'Lost',
    detail: 'The agent stopped answering while it ran.',
    advice: 'The command may have done all of its work, some, or none: look before you run it again.',
  },
  expired: {
    title: 'Expired',
    detail: 'No agent picked it up in time.',
    advice: "It was not run. See whether the job's agent is online.",
  },
  unknown_job: {
    title: 'Unknown job',
    detail: 'No agent of this project has a job of this name.',
    advice: 'It was not run.',
  },
  rejected: { title: 'Refused', detail: 'The agent refused it before anything was started.' },
  needs_reauth: {
    title: 'Needs re-authentication',
    detail: 'The connection that the job uses needs re-authentication.',
    advice: 'Reconnect it, then run the job again.',
  },
  spawn_failed: { title: 'Could not start', detail: 'The command could not be started.' },
  signal: { title: 'Killed', detail: 'A signal that the agent did not send ended it.' },
  http_status: { title: 'Unexpected answer', detail: 'The server answered with a status that the job does not expect.' },
  http_error: { title: 'No answer', detail: 'There was no whole answer to the HTTP request.' },
  overlap: { title: 'Replaced', detail: 'The next run of the job was due, and its rule is `overlap: cancel_previous`.' },
  shutdown: { title: 'Agent stopped', detail: 'It was ended because the agent was told to stop.' },
  fenced: {
    title: 'Fenced',
    detail: 'Its result came too late.',
    advice: 'The request had been given up as lost before, so this result changed nothing there.',
  },
}

const MISSED: Readonly<Record<string, Reason>> = {
  agent_down: { title: 'Agent not running', detail: 'The agent was not running at this time.' },
  asleep: { title: 'Asleep', detail: 'The machine was asleep at this time.' },
  busy: { title: 'Busy', detail: 'The agent came to it too late, or too many runs were waiting.' },
  offline: {
    title: 'Offline',
    detail: 'The job is shared, and Supabase could not be asked at this time which agent runs it.',
  },
  needs_reauth: {
    title: 'Needs re-authentication',
    detail: 'The connection that the job uses needed re-authentication at this time.',
  },
  paused: { title: 'Paused', detail: 'The schedule was paused at this time.' },
  rejected: { title: 'Disabled', detail: 'The job was disabled, or taken out of the YAML, before it could begin.' },
  overlap: { title: 'Overlap', detail: 'The previous run of the job was not over.' },
}

const STATUSES: Readonly<Record<string, Reason>> = {
  ok: { title: 'Succeeded', detail: 'It ended without an error.' },
  done: { title: 'Succeeded', detail: 'It ended without an error.' },
  running: { title: 'Running', detail: 'It is being executed now.' },
  queued: { title: 'Queued', detail: 'It waits for an agent.' },
  error: { title: 'Failed', detail: 'It ended with an error.' },
  timeout: ENDED.timeout as Reason,
  cancelled: ENDED.cancelled as Reason,
  lost: ENDED.lost as Reason,
  missed: { title: 'Missed', detail: 'It did not run at its time.' },
  skipped: { title: 'Skipped', detail: 'It was passed over.' },
}

/** Data may name what every object has: `constructor`. */
function own(table: Readonly<Record<string, Reason>>, key: string): Reason | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined
}

/** Whether a run of this status never began. */
export function neverBegan(status: string): boolean {
  return status === 'missed' || status === 'skipped'
}

/**
 * What to say of a status and its reason. A reason that this page does not know (a newer agent's) is shown as it is:
 * the caller shows `title` as data.
 */
export function reasonOf(status: string, reason: string | null | undefined): Reason {
  const byStatus = own(STATUSES, status) ?? { title: status, detail: '' }
  if (!reason || status === 'ok' || status === 'done' || status === 'running' || status === 'queued') {
    return byStatus
  }
  const known = neverBegan(status) ? own(MISSED, reason) : own(ENDED, reason)
  return known ?? { title: `${byStatus.title}: ${reason}`, detail: byStatus.detail }
}

/** Whether this run's end came after its request had been given up: it changed nothing there. */
export function fencedOff(
  run: { id: string; status: string; attempt: number },
  request: { status: string; result?: { reason?: string; run_id?: string | null; attempt?: number | null } } | undefined,
): boolean {
  const late = run.status !== 'running' && run.status !== 'lost' && !neverBegan(run.status)
  const lost = request?.status === 'error' && request.result?.reason === 'lost' ? request.result : undefined
  return late && lost !== undefined && lost.run_id !== run.id && lost.attempt === run.attempt
}

/** What a missed slot's cause says of a run that made up for it (`trigger: catch_up`). */
export function causeOf(reason: string | null | undefined): string | undefined {
  return reason ? own(MISSED, reason)?.detail : undefined
}

/** The sentence of `detail` for an exit code, by the shell's conventions; negative: the signal that ended it. */
export function exitCodeInWords(code: number): string | undefined {
  if (code < 0) {
    return SIGNALS[-code] ? `ended by ${SIGNALS[-code]}` : `ended by signal ${-code}`
  }
  if (code > 128 && SIGNALS[code - 128]) {
    return `as after ${SIGNALS[code - 128]}`
  }
  return CODES[code]
}

const CODES: Readonly<Record<number, string>> = { 126: 'not executable', 127: 'command not found' }
const SIGNALS: Readonly<Record<number, string>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  4: 'SIGILL',
  5: 'SIGTRAP',
  6: 'SIGABRT',
  8: 'SIGFPE',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  13: 'SIGPIPE',
  14: 'SIGALRM',
  15: 'SIGTERM',
}
