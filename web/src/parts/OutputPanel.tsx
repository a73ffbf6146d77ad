import { ActionIcon, Button, Checkbox, Group, SegmentedControl, Text, TextInput, Tooltip } from '@mantine/core'
import { notifications } from '@mantine/notifications'
import { useDeferredValue, useMemo, useState, useSyncExternalStore } from 'react'
import { bytes } from '../lib/format'
import type { CronRun } from '../lib/rows'
import { find } from '../output/find'
import type { Output, Which } from '../output/output'
import { Icon } from './icons'
import { OutputView } from './OutputView'
import classes from './OutputView.module.css'

/** The output of a run with what one does with it: follow, pause, find, copy, download. */
export function OutputPanel({ run, output, reached }: { run: CronRun; output: Output; reached: boolean }) {
  const version = useSyncExternalStore(output.subscribe, () => output.version)
  const running = run.status === 'running'
  // Whoever has watched it run watches its last lines come as well.
  const [watched, setWatched] = useState(running)
  if (running && !watched) setWatched(true)
  const live = running || (watched && output.source === 'live' && !output.complete)
  const failed = !running && run.status !== 'ok'
  const [wrap, setWrap] = useState(true)
  const [following, setFollowing] = useState(running)
  const search = useSearch(output, version)
  return (
    <section aria-label="Output">
      <Group justify="space-between" mb={6} gap="xs">
        <Group gap="xs">
          {output.streams && (
            <SegmentedControl
              size="xs"
              aria-label="Which stream"
              value={output.which}
              onChange={(which) => output.choose(which as Which)}
              data={[{ value: 'all', label: 'All' }, 'stdout', 'stderr']}
            />
          )}
          {live && <FollowButton following={following} onFollow={setFollowing} />}
          <Checkbox size="xs" label="Wrap" checked={wrap} onChange={(event) => setWrap(event.currentTarget.checked)} />
        </Group>
        <Group gap="xs">
          <Search {...search} />
          <CopyAndDownload run={run} output={output} />
        </Group>
      </Group>
      <div className={classes.frame}>
        {output.empty ? (
          <div className={classes.note}>{emptyWords(run, output)}</div>
        ) : (
          <OutputView
            output={output}
            label={`Output of run ${run.id}`}
            wrap={wrap}
            following={following}
            onFollow={setFollowing}
            found={search.row}
            beginAtEnd={running || failed}
          />
        )}
      </div>
      <Text size="xs" c="dimmed" mt={4} role="status">
        {statusWords(run, output, reached)}
      </Text>
    </section>
  )
}

function emptyWords(run: CronRun, output: Output): string {
  if (run.status === 'running') return output.which === 'all' ? 'It has not printed anything yet.' : `Nothing on ${output.which} yet.`
  if (output.source === 'live' && !output.ended) return 'Reading …'
  return output.stored ? 'It printed nothing.' : 'No output is stored of it.'
}

function statusWords(run: CronRun, output: Output, reached: boolean): string {
  if (!reached) return 'Supabase cannot be reached right now: what was read stays, and reading goes on.'
  if (run.status === 'running') return 'Live: read once a second.'
  if (output.source === 'live' && !output.complete) return 'Its last lines are on their way.'
  return output.source === 'live' ? 'As it came.' : 'From its report.'
}

function FollowButton({ following, onFollow }: { following: boolean; onFollow: (following: boolean) => void }) {
  return (
    <Button
      size="compact-xs"
      variant={following ? 'light' : 'filled'}
      leftSection={<Icon name={following ? 'pause' : 'down'} size={12} />}
      onClick={() => onFollow(!following)}
    >
      {following ? 'Pause' : 'Follow'}
    </Button>
  )
}

function useSearch(output: Output, version: number) {
  const [words, setWords] = useState('')
  const [at, setAt] = useState(0)
  const wanted = useDeferredValue(words)
  // biome-ignore lint/correctness/useExhaustiveDependencies: rows change in place, and `version` says so
  const found = useMemo(() => find(output.rows.rows, wanted), [output, version, wanted])
  const place = found.length > 0 ? ((at % found.length) + found.length) % found.length : 0
  return {
    words,
    count: found.length,
    place,
    row: found[place],
    step: (by: number) => setAt(place + by),
    change: (next: string) => {
      setWords(next)
      setAt(0)
    },
  }
}

function Search({ words, count, place, step, change }: ReturnType<typeof useSearch>) {
  return (
    <Group gap={4} wrap="nowrap">
      <TextInput
        size="xs"
        w={170}
        placeholder="Find in output"
        aria-label="Find in output"
        leftSection={<Icon name="search" size={14} />}
        value={words}
        onChange={(event) => change(event.currentTarget.value)}
        onKeyDown={(event) => event.key === 'Enter' && step(event.shiftKey ? -1 : 1)}
      />
      {words && (
        <>
          <Text size="xs" c="dimmed" role="status" style={{ whiteSpace: 'nowrap' }}>
            {count ? `${place + 1} of ${count}` : 'not found'}
          </Text>
          <ActionIcon size="sm" variant="default" aria-label="Previous find" disabled={!count} onClick={() => step(-1)}>
            <Icon name="up" size={14} />
          </ActionIcon>
          <ActionIcon size="sm" variant="default" aria-label="Next find" disabled={!count} onClick={() => step(1)}>
            <Icon name="down" size={14} />
          </ActionIcon>
        </>
      )}
    </Group>
  )
}

function CopyAndDownload({ run, output }: { run: CronRun; output: Output }) {
  const copy = async () => {
    const text = output.text()
    try {
      await navigator.clipboard.writeText(text)
      notifications.show({ color: 'green', message: `Copied, ${bytes(new Blob([text]).size)}.` })
    } catch {
      notifications.show({
        color: 'red',
        title: 'Not copied',
        message: 'This browser allows it on https and localhost only. Download it instead.',
      })
    }
  }
  return (
    <Group gap={6} wrap="nowrap">
      <Button size="compact-xs" variant="default" disabled={output.empty} onClick={() => void copy()}>
        Copy
      </Button>
      <Tooltip label="As it was printed, colours included">
        <Button size="compact-xs" variant="default" disabled={output.empty} onClick={() => download(run, output.raw())}>
          Download
        </Button>
      </Tooltip>
    </Group>
  )
}

function download(run: CronRun, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/plain;charset=utf-8' }))
  const link = document.createElement('a')
  link.href = url
  link.download = `${run.jobId.replace(/[^\w.-]+/g, '_').slice(0, 80)}-${run.id.slice(0, 8)}.log`
  link.click()
  URL.revokeObjectURL(url)
}
