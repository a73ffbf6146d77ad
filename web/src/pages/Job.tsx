import { Nothing } from '../parts/QueryState'

export default function Job() {
  return <Nothing title="Job">This page is being built.</Nothing>
}
