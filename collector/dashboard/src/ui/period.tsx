/** Which period the page speaks of: a shift, a day, a week, a month, or from and to. */

import { useMemo } from 'preact/hooks';
import { analysis } from '../api/analysis.ts';
import { fromWall, KINDS, neighbour, type PeriodChoice, resolve, type Shift, toWall } from '../model/calendar.ts';
import type { Period } from '../model/range.ts';
import { useApp, useNow } from '../state/context.ts';
import { useFetch } from '../state/fetch.ts';

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

export interface Chosen {
  period: Period | null;
  /** What of it has passed: what can be asked for. */
  passed: Period | null;
  before: Period | null;
  shifts: Shift[];
  error: string | null;
  /** It reaches into the future: figures still grow. */
  running: boolean;
}

/** The period of a choice, with the shifts around it. */
export function useChosen(choice: PeriodChoice): Chosen {
  const { format, plant } = useApp();
  // A period that ends now moves on each minute, not each second.
  const minute = Math.floor(useNow(5_000) / MINUTE_MS) * MINUTE_MS + MINUTE_MS;
  const at = choice.at ?? choice.to;
  const day = Math.floor(Math.min(at ?? minute, minute) / DAY_MS) * DAY_MS;
  const answer = useFetch(`${day}`, (signal) => analysis.shifts({ from: day - 4 * DAY_MS, to: day + 3 * DAY_MS }, signal));
  const shifts = useMemo<Shift[] | null>(() => {
    if (answer.value === null || answer.old) return answer.error === null ? null : [];
    return answer.value.map((s) => ({ name: s.name, from: Date.parse(s.from), to: Date.parse(s.to) })).sort((a, b) => a.from - b.from);
  }, [answer.value, answer.old, answer.error]);
  return useMemo(() => {
    const now = plant.now();
    const period = resolve(choice, minute, format.timeZone, shifts);
    const passed = period && { from: period.from, to: Math.min(period.to, minute) };
    const before = period && neighbour(choice.kind, period, -1, format.timeZone, shifts ?? []);
    return { period, passed, before, shifts: shifts ?? [], error: answer.error, running: period !== null && period.to > now };
  }, [choice.kind, choice.at, choice.from, choice.to, minute, shifts, format, answer.error]);
}

export function PeriodPicker(props: { choice: PeriodChoice; chosen: Chosen; go: (choice: PeriodChoice) => void }) {
  const { words, format } = useApp();
  const { t } = words;
  const { choice, chosen } = props;
  const { period } = chosen;
  const zone = format.timeZone;
  const name = period && choice.kind === 'shift' ? chosen.shifts.find((s) => s.from === period.from)?.name : undefined;
  const step = (by: -1 | 1) => {
    if (!period) return;
    const next = neighbour(choice.kind, period, by, zone, chosen.shifts);
    if (choice.kind === 'custom') props.go({ ...choice, from: next.from, to: next.to });
    // The middle: the hour that is left out or doubled twice a year lies at an edge.
    else props.go({ kind: choice.kind, at: (next.from + next.to) / 2, from: null, to: null });
  };
  const custom = (edge: 'from' | 'to', text: string) => {
    const at = fromWall(text, zone);
    if (at === null || !period) return;
    const next = { from: period.from, to: period.to, [edge]: at };
    if (next.to > next.from) props.go({ kind: 'custom', at: null, ...next });
  };
  return (
    <div class="period-picker">
      <div class="segments" role="group" aria-label={t('machine.range')}>
        {KINDS.map((kind) => (
          <button
            key={kind}
            type="button"
            aria-pressed={choice.kind === kind}
            onClick={() => props.go({ kind, at: choice.at, ...(kind === 'custom' && period ? { from: period.from, to: Math.min(period.to, chosen.passed?.to ?? period.to) } : { from: null, to: null }) })}
          >
            {t(`period.${kind}`)}
          </button>
        ))}
      </div>
      <div class="segments steps">
        <button type="button" title={t('machine.earlier')} aria-label={t('machine.earlier')} disabled={!period} onClick={() => step(-1)}>
          ‹
        </button>
        <button type="button" title={t('machine.later')} aria-label={t('machine.later')} disabled={!period || chosen.running} onClick={() => step(1)}>
          ›
        </button>
      </div>
      {choice.kind === 'custom' && period && (
        <span class="from-to">
          {(['from', 'to'] as const).map((edge) => (
            <label key={edge}>
              <span class="sr">{t(`table.${edge}`)}</span>
              <input type="datetime-local" step="1" value={toWall(period[edge], zone)} onChange={(e) => custom(edge, e.currentTarget.value)} />
            </label>
          ))}
        </span>
      )}
      <p class="period-said num" role="status">
        {period && (
          <>
            {name && <strong>{name} </strong>}
            <PeriodText period={period} />
            {chosen.running && <span class="sub"> {t('period.running')}</span>}
          </>
        )}
        {chosen.running && choice.at === null ? null : (
          <button type="button" class="small" onClick={() => props.go({ kind: choice.kind === 'custom' ? 'day' : choice.kind, at: null, from: null, to: null })}>
            {t('period.now')}
          </button>
        )}
      </p>
    </div>
  );
}

export function PeriodText({ period }: { period: Period }) {
  const { format } = useApp();
  const { from, to } = period;
  const sameDay = format.day(from) === format.day(to - 1);
  const whole = format.time(from) === '00:00:00' && format.time(to) === '00:00:00';
  if (whole) return <>{sameDay ? format.day(from) : `${format.day(from)} – ${format.day(to - 1)}`}</>;
  return (
    <>
      {format.day(from)} {format.hourMinute(from)} – {sameDay ? '' : `${format.day(to)} `}
      {format.hourMinute(to)} {format.zone(to)}
    </>
  );
}
