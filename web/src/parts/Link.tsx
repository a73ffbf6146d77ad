import { Anchor, type AnchorProps } from '@mantine/core'
import type { ReactNode } from 'react'
import { useHashPath } from '../lib/hash'

/** A link to a route of this page. Its address is made by `to`, never of data. */
export function Link({
  to,
  children,
  ...rest
}: { to: string; children: ReactNode } & AnchorProps & { 'aria-label'?: string; tabIndex?: number }) {
  return (
    <Anchor href={useHashPath.hrefs(to)} {...rest}>
      {children}
    </Anchor>
  )
}
