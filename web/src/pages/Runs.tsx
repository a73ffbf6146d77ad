import { Nothing } from '../parts/QueryState'

export default function Runs() {
  return <Nothing title="Runs">This page is being built.</Nothing>
}
