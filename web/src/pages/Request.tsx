import { Nothing } from '../parts/QueryState'

export default function Request() {
  return <Nothing title="Request">This page is being built.</Nothing>
}
