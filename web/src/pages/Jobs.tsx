// The main page: the project in numbers, every job with its Run button, and who asked for what.

import { Code, Group, Kbd, SegmentedControl, Select, Text, TextInput, Title } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { useDeferredValue, useEffect, useMemo, useRef } from 'react'
import { useFilters } from '../lib/hash'
import { activeStates, filterJobs } from '../lib/jobs'
import { useJobs, useOpenRequests, useProject, useRunningRuns } from '../lib/live'
import { type CronMirrorJob, mayOperate } from '../lib/rows'
import { Icon } from '../parts/icons'
import { Cards } from '../parts/jobs/Cards'
import { JobTable } from '../parts/jobs/JobTable'
import { RecentRequests } from '../parts/jobs/RecentRequests'
import { Waiting } from '../parts/jobs/Waiting'
import { PauseControl } from '../parts/PauseControl'
import { isPaused } from '../parts/ProjectNotices'
import { Nothing, QueryState } from '../parts/QueryState'

const NONE: CronMirrorJob[] = []
const STATUSES = [
  { value: 'error', label: 'Failed last' },
  { value: 'ok', label: 'Ok last' },
  { value: 'running', label: 'Running' },
  { value: 'queued', label: 'Queued' },
  { value: 'never', label: 'Never run' },
]

export default function Jobs() {
  const project = useProject()
  const operator = mayOperate(project)
  const jobs = useJobs()
  return (
    <>
      <Group justify="space-between" mb="sm">
        <Title order={1} size="h2">
          Jobs
        </Title>
        {operator && !isPaused(project) && <PauseControl paused={false} />}
      </Group>
      <Cards />
      <Waiting />
      <QueryState query={jobs} lines={8}>
        {jobs.data?.length === 0 ? (
          <Nothing title="No cron jobs mirrored yet. The sync worker will publish jobs here.">
            Start it on the machine with your jobs: <Code>cronmirror run</Code>, or for good: <Code>cronmirror install</Code>
          </Nothing>
        ) : (
          <List jobs={jobs.data ?? NONE} operator={operator} />
        )}
      </QueryState>
      <RecentRequests />
    </>
  )
}

function List({ jobs, operator }: { jobs: CronMirrorJob[]; operator: boolean }) {
  const [given, setFilters] = useFilters()
  const narrow = useMediaQuery('(max-width: 68em)', undefined, { getInitialValueInEffect: false }) ?? false
  const open = useOpenRequests().data
  const running = useRunningRuns().data
  const active = useMemo(() => activeStates(open, running), [open, running])
  const filters = { search: given.get('q') ?? '', enabled: given.get('enabled') ?? '', status: given.get('status') ?? '' }
  // Typing stays quick while thousands of rows are filtered.
  const search = useDeferredValue(filters.search)
  const shown = useMemo(
    () => filterJobs(jobs, { search, enabled: filters.enabled, status: filters.status }, active),
    [jobs, search, filters.enabled, filters.status, active],
  )
  const sort = given.get('sort') ?? 'name'
  const descending = given.get('order') === 'desc'
  const sorting = useMemo(() => [{ id: sort, desc: descending }], [sort, descending])
  return (
    <section aria-label="All jobs">
      <Group mb="xs" gap="xs">
        <Search value={filters.search} onChange={(q) => setFilters({ q })} />
        <SegmentedControl
          size="xs"
          aria-label="Enabled"
          data={[
            { value: '', label: 'All' },
            { value: 'yes', label: 'Enabled' },
            { value: 'no', label: 'Disabled' },
          ]}
          value={filters.enabled}
          onChange={(enabled) => setFilters({ enabled })}
        />
        <Select
          size="xs"
          w={130}
          aria-label="Status"
          placeholder="Any status"
          clearable
          data={STATUSES}
          value={filters.status || null}
          onChange={(status) => setFilters({ status: status ?? undefined })}
        />
        <Text size="sm" c="dimmed" role="status" ml="auto">
          {shown.length === jobs.length ? `${jobs.length} jobs` : `${shown.length} of ${jobs.length} jobs`}
        </Text>
      </Group>
      {shown.length === 0 ? (
        <Nothing title="No job matches these filters" />
      ) : (
        <JobTable
          jobs={shown}
          active={active}
          operator={operator}
          narrow={narrow}
          sorting={sorting}
          onSort={([first]) => setFilters({ sort: first?.id, order: first?.desc ? 'desc' : undefined })}
        />
      )}
      {!narrow && (
        <Text size="xs" c="dimmed" mt={6} mb="lg" component="p">
          <Kbd size="xs">/</Kbd> search · on a row: <Kbd size="xs">↑</Kbd> <Kbd size="xs">↓</Kbd> move, <Kbd size="xs">Enter</Kbd> open,{' '}
          <Kbd size="xs">←</Kbd> its runs
          {operator && (
            <>
              , <Kbd size="xs">R</Kbd> run, <Kbd size="xs">C</Kbd> cancel
            </>
          )}
        </Text>
      )}
    </section>
  )
}

function Search({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const typing = (event.target as HTMLElement).closest('input, textarea, select, [contenteditable]')
      if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return
      event.preventDefault()
      input.current?.focus()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
  return (
    <TextInput
      ref={input}
      size="xs"
      type="search"
      aria-label="Search jobs"
      placeholder="Name, id or tag"
      leftSection={<Icon name="search" size={14} />}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      w={{ base: '100%', xs: 240 }}
    />
  )
}
