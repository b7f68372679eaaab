/** Every interval of a machine's shift with its cause. One stop for the Tab key; arrow keys go from interval to interval, Enter opens one. */

import { useRef, useState } from 'preact/hooks';
import type { Cause, Interval } from '../api/oee-types.ts';
import type { SpanState } from '../api/types.ts';
import { belongs, unexplained } from '../model/losses.ts';
import type { Period } from '../model/range.ts';
import { useApp } from '../state/context.ts';
import { StateMark } from '../ui/marks.tsx';

const ORDER: Cause[] = ['producing', 'reduced_speed', 'unplanned_stop', 'minor_stop', 'idle', 'setup', 'planned_stop', 'offline', 'no_data', 'not_planned'];
const HOUR_MS = 3_600_000;

/** The shape that stands beside a cause. */
export function CauseMark({ cause }: { cause: Cause }) {
  const known: Partial<Record<Cause, SpanState | 'stale'>> = { minor_stop: 'idle', reduced_speed: 'producing', not_planned: 'no_data' };
  return <StateMark state={known[cause] ?? (cause as SpanState)} />;
}

export function CauseTimeline(props: { intervals: Interval[]; period: Period; now: number; open: number | null; highlight: string; choose: (interval: Interval) => void }) {
  const { words, format } = useApp();
  const { t } = words;
  const { intervals, period } = props;
  const [active, setActive] = useState<number | null>(null);
  const [current, setCurrent] = useState(-1);
  const track = useRef<HTMLDivElement>(null);
  const length = Math.max(1, period.to - period.from);
  const percent = (ms: number) => `${Math.max(0, Math.min(100, (ms / length) * 100)).toFixed(3)}%`;
  const tab = current >= 0 && current < intervals.length ? current : intervals.length - 1;
  const say = (i: Interval) =>
    t('machine.span', {
      state: `${words.word('cause', i.cause)}${reasonText(i) ? ` (${reasonText(i)})` : unexplained(i) ? ` (${t('oee.unassigned')})` : ''}`,
      from: format.time(Date.parse(i.from)),
      to: format.time(Date.parse(i.to)),
      length: format.duration(i.seconds),
    });
  const onKeyDown = (event: KeyboardEvent) => {
    const to = { ArrowLeft: tab - 1, ArrowRight: tab + 1, Home: 0, End: intervals.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(intervals.length - 1, to));
    setCurrent(next);
    (track.current?.children[next] as HTMLElement | undefined)?.focus();
  };
  const sums = new Map<Cause, number>();
  for (const i of intervals) sums.set(i.cause, (sums.get(i.cause) ?? 0) + i.seconds);
  const tip = active === null ? undefined : intervals[active];
  const every = (length > 30 * HOUR_MS ? 6 : length > 14 * HOUR_MS ? 4 : length > 5 * HOUR_MS ? 1 : length > HOUR_MS ? 0.5 : 0.25) * HOUR_MS;
  const marks: number[] = [];
  for (let at = Math.ceil(period.from / every) * every; at <= period.to; at += every) marks.push(at);
  return (
    <div class="timeline cause-timeline">
      <div class="timeline-box">
        <div class={`timeline-track ${props.highlight ? 'has-highlight' : ''}`} ref={track} role="group" aria-label={t('oee.timeline')} onKeyDown={onKeyDown}>
          {intervals.map((interval, i) => {
            const from = Date.parse(interval.from);
            return (
              <button
                key={interval.from}
                type="button"
                class={`span state-${interval.cause} ${belongs(interval, props.highlight) ? 'is-highlight' : ''} ${unexplained(interval) ? 'is-unexplained' : ''}`}
                style={{ left: percent(from - period.from), width: percent(Date.parse(interval.to) - from) }}
                tabIndex={i === tab ? 0 : -1}
                aria-label={say(interval)}
                aria-current={props.open === from ? 'true' : undefined}
                onClick={() => {
                  setCurrent(i);
                  props.choose(interval);
                }}
                onMouseEnter={() => setActive(i)}
                onMouseLeave={() => setActive(null)}
                onFocus={() => {
                  setActive(i);
                  setCurrent(i);
                }}
                onBlur={() => setActive(null)}
              />
            );
          })}
        </div>
        {props.now < period.to && props.now > period.from && <i class="timeline-now" style={{ left: percent(props.now - period.from) }} />}
        <div class="timeline-axis num" aria-hidden="true">
          {marks.map((at) => (
            <span key={at} style={{ left: percent(at - period.from) }}>
              {format.hourMinute(at)}
            </span>
          ))}
        </div>
        {tip && (
          <div class="tip" style={{ left: `${Math.max(12, Math.min(88, ((Date.parse(tip.from) + Date.parse(tip.to)) / 2 - period.from) / (length / 100)))}%` }}>
            <CauseMark cause={tip.cause} />
            <span>
              <strong>{words.word('cause', tip.cause)}</strong>
              {reasonText(tip) && `: ${reasonText(tip)}`}
              {unexplained(tip) && `: ${t('oee.unassigned')}`}
              <span class="num sub">
                {format.time(Date.parse(tip.from))} – {format.time(Date.parse(tip.to))} · {format.duration(tip.seconds)}
              </span>
            </span>
          </div>
        )}
      </div>
      <ul class="legend">
        {ORDER.filter((c) => sums.has(c)).map((c) => (
          <li key={c}>
            <i class={`swatch state-${c}`} />
            <CauseMark cause={c} />
            <span>{words.word('cause', c)}</span>
            <span class="num">{format.duration(sums.get(c))}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

export function reasonText(interval: Pick<Interval, 'reason' | 'reason_name'>): string {
  return interval.reason_name ?? (interval.reason ? interval.reason.replaceAll('_', ' ') : '');
}
