import { Nothing } from '../parts/QueryState'

export default function Timeline() {
  return <Nothing title="Timeline">This page is being built.</Nothing>
}
