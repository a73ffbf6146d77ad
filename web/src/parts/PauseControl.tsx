import { Button, Menu } from '@mantine/core'
import { useState } from 'react'
import { setPaused } from '../lib/api'
import { queryClient } from '../lib/cache'
import { explain } from '../lib/errors'
import { shorten, visible } from '../lib/format'
import type { PauseMode } from '../lib/rows'
import { serverNow } from '../lib/supabase'
import { Icon } from './icons'
import { failed } from './run'

const CHOICES: { label: string; mode: PauseMode; hours?: number }[] = [
  { label: 'Everything, for an hour', mode: 'all', hours: 1 },
  { label: 'Everything, for 8 hours', mode: 'all', hours: 8 },
  { label: 'Everything, until resumed', mode: 'all' },
  { label: 'Schedules only, until resumed', mode: 'schedule' },
]

interface Props {
  paused: boolean
  /** Without it: the whole project. */
  agentId?: string
  /** What is paused, for who hears the button and does not see where it stands. */
  what?: string
  /** The same on the button, where the eye needs it as well. */
  label?: string
  size?: string
}

/** Pause or resume a project, or one agent of it. */
export function PauseControl({ paused, agentId, what = 'the project', label = '', size = 'compact-sm' }: Props) {
  const name = shorten(visible(what), 60)
  const [busy, setBusy] = useState(false)
  const set = async (mode: PauseMode | 'none', hours?: number) => {
    setBusy(true)
    const until = hours ? new Date(serverNow() + hours * 3_600_000).toISOString() : undefined
    await setPaused(mode, { agentId, until }).catch((error: unknown) =>
      failed(mode === 'none' ? 'Not resumed' : 'Not paused', explain(error)),
    )
    await queryClient.invalidateQueries({ queryKey: [agentId === undefined ? 'projects' : 'agents'] })
    setBusy(false)
  }
  if (paused) {
    return (
      <Button
        size={size}
        variant="default"
        loading={busy}
        leftSection={<Icon name="resume" size={12} />}
        aria-label={`Resume ${name}`}
        style={{ flex: 'none' }}
        onClick={() => void set('none')}
      >
        Resume {label}
      </Button>
    )
  }
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button
          size={size}
          variant="default"
          loading={busy}
          leftSection={<Icon name="pause" size={14} />}
          aria-label={`Pause ${name}`}
          style={{ flex: 'none' }}
        >
          Pause {label}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {CHOICES.map((choice) => (
          <Menu.Item key={choice.label} onClick={() => void set(choice.mode, choice.hours)}>
            {choice.label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}
