import { ActionIcon, Group, Popover, Skeleton, Text } from '@mantine/core'
import { lazy, Suspense, useState } from 'react'
import { to } from '../../lib/hash'
import { useUnread } from '../../lib/live'
import { unreadInWords } from '../../lib/notices'
import { Icon } from '../icons'
import { Link } from '../Link'

const Latest = lazy(() => import('./Latest'))

/** How many notices nobody has read, in the header; the latest of them on click. */
export function Bell() {
  const count = useUnread().data ?? 0
  const [open, setOpen] = useState(false)
  const words = count ? `Notifications: ${unreadInWords(count)} unread` : 'Notifications'
  return (
    <Popover width={400} position="bottom-end" withArrow shadow="md" trapFocus returnFocus opened={open} onChange={setOpen}>
      <Popover.Target>
        <ActionIcon variant="default" size="lg" className="bell" aria-label={words} onClick={() => setOpen(!open)}>
          <Icon name="bell" />
          {count > 0 && (
            <span className="bell-count" aria-hidden="true">
              {unreadInWords(count)}
            </span>
          )}
        </ActionIcon>
      </Popover.Target>
      <span className="unseen" role="status">
        {count > 0 && words}
      </span>
      <Popover.Dropdown
        aria-label="Notifications"
        className="bell-list"
        // A link leads away from here.
        onClick={(event) => (event.target as Element).closest('a') && setOpen(false)}
      >
        <Group justify="space-between" mb="xs">
          <Text fw={600}>Notifications</Text>
          <Link to={to.notifications()} size="sm">
            All notifications
          </Link>
        </Group>
        <Suspense fallback={<Skeleton height={60} />}>
          <Latest />
        </Suspense>
      </Popover.Dropdown>
    </Popover>
  )
}
