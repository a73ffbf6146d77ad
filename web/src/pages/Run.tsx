import { Nothing } from '../parts/QueryState'

export default function Run() {
  return <Nothing title="Run">This page is being built.</Nothing>
}
