/** A machine's shift: every interval with its cause, the stops as a list, and the one that is open. */

import { useMemo } from 'preact/hooks';
import { analysis } from '../api/analysis.ts';
import type { Interval } from '../api/oee-types.ts';
import { CauseMark, CauseTimeline, reasonText } from '../chart/cause-timeline.tsx';
import { shiftAt } from '../model/calendar.ts';
import { belongs, isStop, unexplained } from '../model/losses.ts';
import type { Period } from '../model/range.ts';
import type { OeeRoute } from '../route.ts';
import { useApp, useNow } from '../state/context.ts';
import { useFetch } from '../state/fetch.ts';
import { Behind, Waiting } from '../ui/behind.tsx';
import type { Chosen } from '../ui/period.tsx';
import { StopPanel } from './oee-stop.tsx';

/** A longer period is shown one shift at a time. */
const LONGEST_MS = 26 * 3_600_000;
const LISTED = 8;

export function TimelinePanel(props: { asset: string; chosen: Chosen; route: OeeRoute; go: (next: Partial<OeeRoute>, replace?: boolean) => void; changed: () => void; refreshMs: number | undefined }) {
  const { words, format } = useApp();
  const { t, n } = words;
  const now = useNow(10_000);
  const { asset, chosen, route } = props;
  const whole = chosen.period as Period;
  const long = whole.to - whole.from > LONGEST_MS;
  const shifts = useFetch(long ? `${whole.from}-${whole.to}` : null, (s) => analysis.shifts(whole, s));
  const offered = useMemo(
    () => (shifts.value ?? []).map((s) => ({ name: s.name, from: Date.parse(s.from), to: Date.parse(s.to) })).filter((s) => s.from < now && s.to > whole.from),
    [shifts.value, whole.from],
  );
  const shift = long ? (offered.find((s) => s.from === route.shift) ?? shiftAt(offered, Math.min(now, whole.to - 1))) : null;
  const period: Period | null = long ? shift && { from: shift.from, to: shift.to } : whole;
  const until = period && Math.min(period.to, chosen.passed?.to ?? now);
  const answer = useFetch(period ? `${asset} ${period.from}-${until}` : null, (s) => analysis.oee({ asset, from: period?.from ?? 0, to: until ?? 0, explain: true }, s), props.refreshMs);
  const intervals = answer.value?.intervals ?? [];
  const stops = useMemo(
    () => intervals.filter((i) => isStop(i) && (route.loss === '' || belongs(i, route.loss))).toSorted((a, b) => b.seconds - a.seconds),
    [intervals, route.loss],
  );
  const open = route.stop === null ? undefined : (intervals.findLast((i) => Date.parse(i.from) === route.stop) ?? intervals.find((i) => Date.parse(i.from) <= (route.stop as number) && Date.parse(i.to) > (route.stop as number)));
  const waiting = intervals.filter(unexplained).length;
  const choose = (i: Interval) => {
    const from = Date.parse(i.from);
    props.go({ stop: route.stop === from ? null : from }, true);
  };
  return (
    <section class="panel" aria-labelledby="timeline-title">
      <header class="panel-head">
        <h2 id="timeline-title">{t('oee.timeline')}</h2>
        {long && (
          <label class="sub">
            {t('period.shift')}{' '}
            <select value={String(shift?.from ?? '')} onChange={(e) => props.go({ shift: Number(e.currentTarget.value), stop: null }, true)}>
              {offered.map((s) => (
                <option key={s.from} value={String(s.from)}>
                  {format.day(s.from)} {s.name}
                </option>
              ))}
            </select>
          </label>
        )}
        <span class="sub">{waiting > 0 ? n('oee.waiting', waiting) : t('oee.timeline_hint')}</span>
      </header>
      {answer.error !== null && intervals.length > 0 && <p class="note bad">{t('app.failed', { reason: answer.error })}</p>}
      {period === null || intervals.length === 0 ? (
        answer.value !== null ? (
          <p class="sub">{t('machine.timeline_empty')}</p>
        ) : (
          <Waiting error={answer.error} />
        )
      ) : (
        <>
          <CauseTimeline intervals={intervals} period={period} now={now} open={open ? Date.parse(open.from) : null} highlight={route.loss} choose={choose} />
          {answer.value?.intervals_truncated && <p class="note">{t('oee.truncated', { n: intervals.length })}</p>}
          {open && (
            <StopPanel
              asset={asset}
              interval={open}
              close={() => {
                // The focus goes back to where it came from.
                document.querySelector<HTMLElement>('.cause-timeline .span[aria-current]')?.focus();
                props.go({ stop: null }, true);
              }}
              changed={() => {
                answer.again();
                props.changed();
              }}
            />
          )}
          <h3 class="list-title">{t(route.loss ? 'oee.stops_of' : 'oee.longest', { loss: words.word('node', route.loss) })}</h3>
          {stops.length === 0 ? (
            <p class="sub">{t('oee.no_stops')}</p>
          ) : (
            <ul class="intervals">
              {stops.slice(0, LISTED).map((s) => (
                <li key={s.from}>
                  <button type="button" onClick={() => choose(s)} aria-pressed={open === s}>
                    <CauseMark cause={s.cause} />
                    <span class="num length">{format.duration(s.seconds)}</span>
                    <span>
                      {words.word('cause', s.cause)}
                      {reasonText(s) ? `: ${reasonText(s)}` : unexplained(s) && <em class="sub">: {t('oee.unassigned')}</em>}
                    </span>
                    <span class="num sub">
                      {format.time(Date.parse(s.from))} – {format.time(Date.parse(s.to))}
                    </span>
                  </button>
                </li>
              ))}
            </ul>
          )}
          {stops.length > LISTED && <p class="sub">{n('explain.more', stops.length - LISTED)}</p>}
          <Behind
            title={t('oee.timeline')}
            columns={[{ name: t('table.from') }, { name: t('table.to') }, { name: t('table.length'), right: true }, { name: t('oee.cause') }, { name: t('table.reason') }, { name: t('stop.rule') }]}
            rows={() =>
              intervals.map((i) => [format.time(Date.parse(i.from)), format.time(Date.parse(i.to)), format.duration(i.seconds), words.word('cause', i.cause), reasonText(i), words.word('rule', i.rule)])
            }
          />
        </>
      )}
    </section>
  );
}
