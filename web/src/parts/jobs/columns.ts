// The columns of the list of jobs, for TanStack Table: what is sorted by, in which order first.

import {
  createColumnHelper,
  createSortedRowModel,
  rowSortingFeature,
  sortFn_basic,
  sortFn_text,
  tableFeatures,
} from '@tanstack/react-table'
import { type JobState, stateOf, statusRank } from '../../lib/jobs'
import type { CronMirrorJob } from '../../lib/rows'
import { scheduleInWords } from '../../lib/schedules'

export const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: { text: sortFn_text, basic: sortFn_basic },
})

const helper = createColumnHelper<typeof features, CronMirrorJob>()

const instant = (at: string | undefined) => (at ? new Date(at).getTime() : undefined)

/** `active`: what jobs are doing now; its order follows it. */
export function columnsFor(active: Map<string, JobState>) {
  return helper.columns([
    helper.accessor((job) => job.name.toLowerCase(), { id: 'name', header: 'Job', sortFn: 'text' }),
    helper.accessor((job) => scheduleInWords(job), { id: 'schedule', header: 'Schedule', sortFn: 'text' }),
    helper.accessor((job) => instant(job.nextRunAt), {
      id: 'next',
      header: 'Next run',
      sortFn: 'basic',
      sortUndefined: 'last',
      sortDescFirst: false,
    }),
    helper.accessor((job) => statusRank(stateOf(job, active)), { id: 'status', header: 'Status', sortFn: 'basic', sortDescFirst: false }),
    helper.accessor((job) => instant(job.lastRunAt), {
      id: 'last',
      header: 'Last run',
      sortFn: 'basic',
      sortUndefined: 'last',
      sortDescFirst: true,
    }),
    helper.accessor((job) => job.lastDurationMs, {
      id: 'duration',
      header: 'Duration',
      sortFn: 'basic',
      sortUndefined: 'last',
      sortDescFirst: true,
    }),
    helper.display({ id: 'strip', header: 'Last 20 runs' }),
    helper.accessor((job) => job.agentIds.join(' '), { id: 'agent', header: 'Agent', sortFn: 'text' }),
    helper.display({ id: 'do', header: '' }),
  ])
}
