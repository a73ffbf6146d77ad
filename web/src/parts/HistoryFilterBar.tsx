import { Button, Group, MultiSelect, Select, TextInput } from '@mantine/core'
import { visible } from '../lib/format'
import { fromLocalInput, type HistoryFilters, narrowed, STATUSES, TRIGGERS as TRIGGER_IDS, toLocalInput } from '../lib/history'
import { useAgents, useJobs } from '../lib/live'
import classes from './History.module.css'
import { TRIGGERS } from './HistoryRow'

type Changes = Record<string, string | undefined>

const DAY_MS = 86_400_000
const NOTHING: Changes = { status: undefined, trigger: undefined, agent: undefined, job: undefined, from: undefined, to: undefined }
const FAILED = 'error,timeout,lost'
const MISSED = 'skipped,missed'

/** What people look for most: what it is called, what it changes, whether it is what is shown. */
const SHORTCUTS: [string, () => Changes, (filters: HistoryFilters) => boolean][] = [
  ['All', () => NOTHING, (filters) => !narrowed(filters)],
  ['Failed', () => ({ status: FAILED }), (filters) => filters.statuses.join() === FAILED],
  ['Missed', () => ({ status: MISSED }), (filters) => filters.statuses.join() === MISSED],
  ['Running', () => ({ status: 'running' }), (filters) => filters.statuses.join() === 'running'],
  ['Last 24 h', () => ({ from: new Date(Date.now() - DAY_MS).toISOString(), to: undefined }), () => false],
]

interface Props {
  filters: HistoryFilters
  onChange: (changes: Changes) => void
}

export function HistoryFilterBar({ filters, onChange }: Props) {
  return (
    <search aria-label="Filters">
      <Group gap={6} mb="xs">
        {SHORTCUTS.map(([name, changes, shown]) => (
          <Button
            key={name}
            size="compact-sm"
            variant={shown(filters) ? 'filled' : 'default'}
            aria-pressed={shown(filters)}
            onClick={() => onChange(changes())}
          >
            {name}
          </Button>
        ))}
      </Group>
      <div className={classes.filters}>
        <Kinds filters={filters} onChange={onChange} />
        <Whose filters={filters} onChange={onChange} />
        <Between filters={filters} onChange={onChange} />
      </div>
    </search>
  )
}

function Kinds({ filters, onChange }: Props) {
  return (
    <>
      <MultiSelect
        label="Status"
        size="xs"
        placeholder={filters.statuses.length ? undefined : 'any'}
        data={[...STATUSES]}
        value={filters.statuses}
        onChange={(status) => onChange({ status: status.join(',') })}
        clearable
      />
      <MultiSelect
        label="Because of"
        size="xs"
        placeholder={filters.triggers.length ? undefined : 'anything'}
        data={TRIGGER_IDS.map((value) => ({ value, label: TRIGGERS[value] ?? value }))}
        value={filters.triggers}
        onChange={(trigger) => onChange({ trigger: trigger.join(',') })}
        clearable
      />
    </>
  )
}

function Whose({ filters, onChange }: Props) {
  const jobs = (useJobs().data ?? []).map((each) => ({ value: each.jobId, label: `${each.name} (${each.jobId})` }))
  const agents = (useAgents().data ?? []).map((each) => ({ value: each.agentId, label: each.agentId }))
  return (
    <>
      <Select
        label="Job"
        size="xs"
        placeholder="any"
        data={options(jobs, filters.jobId)}
        value={filters.jobId ?? null}
        onChange={(job) => onChange({ job: job ?? undefined })}
        searchable
        clearable
        limit={50}
        nothingFoundMessage="no such job"
      />
      <Select
        label="Agent"
        size="xs"
        placeholder="any"
        data={options(agents, filters.agentId)}
        value={filters.agentId ?? null}
        onChange={(agent) => onChange({ agent: agent ?? undefined })}
        searchable
        clearable
        limit={50}
      />
    </>
  )
}

function Between({ filters, onChange }: Props) {
  return (
    <>
      <TextInput
        label="From"
        type="datetime-local"
        size="xs"
        value={toLocalInput(filters.since)}
        onChange={(event) => onChange({ from: fromLocalInput(event.currentTarget.value) })}
      />
      <TextInput
        label="Before"
        type="datetime-local"
        size="xs"
        value={toLocalInput(filters.until)}
        onChange={(event) => onChange({ to: fromLocalInput(event.currentTarget.value) })}
      />
    </>
  )
}

/** The address may name a job or an agent that is gone: it can still be taken out. */
function options(known: { value: string; label: string }[], chosen: string | undefined) {
  const all = chosen && !known.some((each) => each.value === chosen) ? [...known, { value: chosen, label: chosen }] : known
  return all.map((each) => ({ ...each, label: visible(each.label) }))
}
