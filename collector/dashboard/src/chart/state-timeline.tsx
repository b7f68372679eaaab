/** The shift as a strip of states. One stop for the Tab key; arrow keys go from span to span. */

import { useRef, useState } from 'preact/hooks';
import type { SpanState } from '../api/types.ts';
import type { Period } from '../model/range.ts';
import { type TimeSpan, totals } from '../model/timeline.ts';
import { useApp } from '../state/context.ts';
import { StateMark } from '../ui/marks.tsx';

const ORDER: SpanState[] = ['producing', 'unplanned_stop', 'idle', 'setup', 'planned_stop', 'offline', 'no_data'];
const HOUR_MS = 3_600_000;

export function StateTimeline(props: { spans: TimeSpan[]; shift: Period; now: number; shown: Period; choose: (span: TimeSpan) => void }) {
  const { words, format } = useApp();
  const { t } = words;
  const { spans, shift } = props;
  const [active, setActive] = useState<number | null>(null);
  const [current, setCurrent] = useState(-1);
  const track = useRef<HTMLDivElement>(null);
  const length = Math.max(1, shift.to - shift.from);
  const percent = (ms: number) => `${Math.max(0, Math.min(100, (ms / length) * 100)).toFixed(3)}%`;
  const stop = current >= 0 && current < spans.length ? current : spans.length - 1;

  const say = (s: TimeSpan) =>
    t('machine.span', {
      state: `${words.word('state', s.state)}${s.reason ? ` (${words.word('reason', s.reason)})` : ''}`,
      from: format.time(s.from),
      to: format.time(s.to),
      length: format.duration((s.to - s.from) / 1000),
    });

  const onKeyDown = (event: KeyboardEvent) => {
    const to = { ArrowLeft: stop - 1, ArrowRight: stop + 1, Home: 0, End: spans.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(spans.length - 1, to));
    setCurrent(next);
    (track.current?.children[next] as HTMLElement | undefined)?.focus();
  };

  const sums = totals(spans);
  const tip = active === null ? undefined : spans[active];
  const marks: number[] = [];
  const every = length > 14 * HOUR_MS ? 4 : length > 5 * HOUR_MS ? 1 : 0.5;
  for (let at = Math.ceil(shift.from / (every * HOUR_MS)) * every * HOUR_MS; at <= shift.to; at += every * HOUR_MS) marks.push(at);
  const shownFrom = Math.max(props.shown.from, shift.from);
  const shownTo = Math.min(props.shown.to, shift.to);

  return (
    <div class="timeline">
      <div class="timeline-box">
        <div class="timeline-track" ref={track} role="group" aria-label={t('machine.timeline')} onKeyDown={onKeyDown}>
          {spans.map((s, i) => (
            <button
              key={`${s.from}${s.state}`}
              type="button"
              class={`span state-${s.state}`}
              style={{ left: percent(s.from - shift.from), width: percent(s.to - s.from) }}
              tabIndex={i === stop ? 0 : -1}
              aria-label={say(s)}
              onClick={() => {
                setCurrent(i);
                props.choose(s);
              }}
              onMouseEnter={() => setActive(i)}
              onMouseLeave={() => setActive(null)}
              onFocus={() => {
                setActive(i);
                setCurrent(i);
              }}
              onBlur={() => setActive(null)}
            />
          ))}
        </div>
        {props.now < shift.to && props.now > shift.from && <i class="timeline-now" style={{ left: percent(props.now - shift.from) }} />}
        {shownTo > shownFrom && (
          <i
            class="timeline-shown"
            title={t('machine.window_mark')}
            style={{ left: percent(shownFrom - shift.from), width: percent(shownTo - shownFrom) }}
          />
        )}
        <div class="timeline-axis num" aria-hidden="true">
          {marks.map((at) => (
            <span key={at} style={{ left: percent(at - shift.from) }}>
              {format.hourMinute(at)}
            </span>
          ))}
        </div>
        {tip && (
          <div class="tip" style={{ left: `${Math.max(12, Math.min(88, (((tip.from + tip.to) / 2 - shift.from) / length) * 100))}%` }}>
            <StateMark state={tip.state} />
            <span>
              <strong>{words.word('state', tip.state)}</strong>
              {tip.reason && `: ${words.word('reason', tip.reason)}`}
              <span class="num sub">
                {format.time(tip.from)} – {format.time(tip.to)} · {format.duration((tip.to - tip.from) / 1000)}
              </span>
            </span>
          </div>
        )}
      </div>
      <ul class="legend">
        {ORDER.filter((s) => sums.has(s)).map((s) => (
          <li key={s}>
            <i class={`swatch state-${s}`} />
            <StateMark state={s} />
            <span>{words.word('state', s)}</span>
            <span class="num">{format.duration((sums.get(s) ?? 0) / 1000)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
