import { useNotifications } from '../../lib/live'
import { Nothing, QueryState } from '../QueryState'
import { NoticeList, ReadAll } from './NoticeList'

const SHOWN = 5

/** The latest notices that nobody has read, below the bell. */
export default function Latest() {
  const latest = useNotifications(SHOWN, true)
  const notices = latest.data ?? []
  return (
    <QueryState query={latest} lines={2}>
      {notices.length === 0 ? (
        <Nothing title="Nothing is unread" />
      ) : (
        <>
          <NoticeList notices={notices} brief />
          <ReadAll />
        </>
      )}
    </QueryState>
  )
}
