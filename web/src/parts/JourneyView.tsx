import { Tooltip } from '@mantine/core'
import { duration, exactTime } from '../lib/format'
import { type Moment, type Stage, total } from '../lib/journey'
import classes from './JourneyView.module.css'

const WORDS: Record<Stage, string> = {
  hold: 'not to begin yet',
  queue: 'waited',
  start: 'to start',
  run: 'ran',
  backoff: 'until the next attempt',
  report: 'to report',
  record: 'until it was recorded',
}

/** Queued → claimed → started → finished, with how long each stage took. */
export function JourneyView({ moments }: { moments: Moment[] }) {
  const all = total(moments)
  return (
    <div>
      {all > 0 && (
        <div className={classes.bar} aria-hidden="true">
          {moments.map(
            (each) => each.stage && <span key={each.key} className={classes[each.stage]} style={{ flexGrow: (each.ms ?? 0) / all }} />,
          )}
        </div>
      )}
      <ol className={classes.list} aria-label="What happened when">
        {moments.map((each) => (
          <li key={each.key}>
            {each.stage && (
              <div className={`${classes.stage} ${classes[each.stage]}`}>
                {duration(each.ms)} {WORDS[each.stage]}
                {each.skewed && <SkewNote />}
              </div>
            )}
            <div className={classes.moment}>
              <span>{each.label}</span>
              {each.at === undefined ? <span className={classes.clock}>…</span> : <Clock at={each.at} />}
            </div>
          </li>
        ))}
      </ol>
    </div>
  )
}

function Clock({ at }: { at: number }) {
  const shown = new Date(at)
  const today = shown.toDateString() === new Date().toDateString()
  return (
    <Tooltip label={exactTime(shown)} events={{ hover: true, focus: true, touch: true }}>
      <time className={classes.clock} dateTime={shown.toISOString()}>
        {today ? '' : `${shown.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} `}
        {shown.toLocaleTimeString('en-GB', { hour12: false })}.{String(shown.getMilliseconds()).padStart(3, '0')}
      </time>
    </Tooltip>
  )
}

function SkewNote() {
  return <span>· the agent’s clock and the server’s differ</span>
}
