import { ActionIcon, Button, Group, Menu } from '@mantine/core'
import { useState } from 'react'
import { reconnect } from '../../lib/api'
import { queryClient } from '../../lib/cache'
import { explain } from '../../lib/errors'
import { shorten, visible } from '../../lib/format'
import { redirectUri } from '../../lib/returns'
import type { CronConnection } from '../../lib/rows'
import { Icon } from '../icons'
import { failed } from '../run'

/** Asks the agent to begin a sign-in; answers when the list of sign-ins has it. */
export function useReconnect(connectionId: string) {
  const [busy, setBusy] = useState(false)
  const begin = async (otherAccountOk: boolean) => {
    setBusy(true)
    try {
      await reconnect(connectionId, redirectUri(), otherAccountOk)
      await queryClient.invalidateQueries({ queryKey: ['reconnects'] })
    } catch (error) {
      failed('Not reconnected', explain(error))
    }
    setBusy(false)
  }
  return { busy, begin }
}

/** For admins. As the same account, unless they say otherwise. */
export function ReconnectButton({ connection }: { connection: CronConnection }) {
  const { connectionId, needsReauth, account } = connection
  const { busy, begin } = useReconnect(connectionId)
  const name = shorten(visible(connectionId), 60)
  return (
    <Group gap={6} wrap="nowrap" style={{ flex: 'none' }}>
      <Button
        size="compact-sm"
        variant={needsReauth ? 'filled' : 'default'}
        loading={busy}
        leftSection={<Icon name="again" size={13} />}
        aria-label={`Reconnect ${name}`}
        onClick={() => void begin(false)}
      >
        Reconnect
      </Button>
      {account !== undefined && (
        <Menu position="bottom-end">
          <Menu.Target>
            <ActionIcon variant="default" size={26} disabled={busy} aria-label={`More ways to reconnect ${name}`}>
              <Icon name="more" size={14} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item onClick={() => void begin(true)}>Reconnect, also as another account</Menu.Item>
          </Menu.Dropdown>
        </Menu>
      )}
    </Group>
  )
}
