import { Nothing } from '../parts/QueryState'

export default function Agents() {
  return <Nothing title="Agents">This page is being built.</Nothing>
}
