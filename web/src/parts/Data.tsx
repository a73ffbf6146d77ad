import { memo } from 'react'
import { shorten, visible } from '../lib/format'

/** Text that comes from elsewhere (names, errors, ids): its own direction, nothing hidden in it, no longer than fits. */
export const Data = memo(function Data({
  children,
  length = 200,
  title,
}: {
  children: string | undefined
  length?: number
  title?: boolean
}) {
  const text = visible(children ?? '')
  return (
    <bdi className="data" title={title || text.length > length ? shorten(text, 2000) : undefined}>
      {shorten(text, length)}
    </bdi>
  )
})
