// OAuth connections: where they stand, and signing one in again from here. Part of api.ts. Tokens never come this way.

import { must } from './errors'
import { CONNECTION_COLUMNS, type CronConnection, type CronReconnect, camelRows, RECONNECT_COLUMNS } from './rows'
import { project, supabase } from './supabase'

/** A person has few of them; what is over is of interest for minutes. */
const MOST = 50

export async function getConnections(): Promise<CronConnection[]> {
  const query = supabase().from('cron_connections').select(CONNECTION_COLUMNS).eq('project_id', project())
  return camelRows(must(await query.order('connection_id')))
}

/** The sign-ins that this admin began, newest first. The database shows nobody else's. */
export async function getReconnects(): Promise<CronReconnect[]> {
  const query = supabase().from('cron_connection_requests').select(RECONNECT_COLUMNS).eq('project_id', project())
  return camelRows(must(await query.order('requested_at', { ascending: false }).limit(MOST)))
}

/** Ask the agent to begin a sign-in; the provider will send the browser to `redirectUri`. Replaces one that is under way. */
export async function reconnect(connectionId: string, redirectUri: string, otherAccountOk: boolean): Promise<string> {
  const asked = {
    p_project: project(),
    p_connection: connectionId,
    p_redirect_uri: redirectUri,
    p_other_account_ok: otherAccountOk,
  }
  return (must(await supabase().rpc('cron_reconnect', asked)) as { id: string }).id
}

/** Hand the agent what the provider sent back. Works once. By the sign-in's own project: another may be chosen by now. */
export async function handOverCode(projectId: string, requestId: string, state: string, code: string): Promise<void> {
  must(await supabase().rpc('cron_reconnect_code', { p_project: projectId, p_id: requestId, p_state: state, p_code: code }))
}

/** Leave a sign-in. */
export async function cancelReconnect(projectId: string, requestId: string): Promise<void> {
  must(await supabase().rpc('cron_reconnect_cancel', { p_project: projectId, p_id: requestId }))
}
