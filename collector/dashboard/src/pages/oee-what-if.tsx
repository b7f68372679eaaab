/** What OEE would have been: sliders for stops, set-ups, pace and rejects, which hold together. */

import { useEffect, useMemo, useState } from 'preact/hooks';
import { analysis } from '../api/analysis.ts';
import type { Change, ParetoRow } from '../api/oee-types.ts';
import type { Period } from '../model/range.ts';
import { useApp } from '../state/context.ts';
import { useFetch } from '../state/fetch.ts';

const WAIT_MS = 300;

interface Wish {
  minor: number;
  setup: number;
  reason: number;
  cycle: number;
  rejects: number;
}
const NOTHING: Wish = { minor: 0, setup: 0, reason: 0, cycle: 0, rejects: 0 };
const SLIDERS: { id: keyof Wish; max: number; step: number }[] = [
  { id: 'minor', max: 300, step: 10 },
  { id: 'setup', max: 100, step: 5 },
  { id: 'reason', max: 100, step: 5 },
  { id: 'cycle', max: 20, step: 1 },
  { id: 'rejects', max: 100, step: 5 },
];

export function changesOf(wish: Wish, reason: string | null): Change[] {
  const changes: Change[] = [];
  if (wish.minor > 0) changes.push({ change: 'minor_stops_gone', below_s: wish.minor });
  if (wish.setup > 0) changes.push({ change: 'category_shorter', category: 'setup_and_adjustments', less: wish.setup / 100 });
  if (wish.reason > 0 && reason !== null) changes.push({ change: 'reason_shorter', reason, less: wish.reason / 100 });
  if (wish.cycle > 0) changes.push({ change: 'cycle_faster', faster: wish.cycle / 100 });
  if (wish.rejects > 0) changes.push({ change: 'fewer_rejects', less: wish.rejects / 100 });
  return changes;
}

export function WhatIfPanel({ scope, period, rows }: { scope: string; period: Period; rows: ParetoRow[] }) {
  const { words, format } = useApp();
  const { t } = words;
  const [wish, setWish] = useState<Wish>(NOTHING);
  const [settled, setSettled] = useState<Wish>(NOTHING);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(wish), WAIT_MS);
    return () => clearTimeout(timer);
  }, [wish]);
  const top = rows.find((r) => r.has_reason && r.stops > 0 && r.category !== 'planned_stop') ?? null;
  const changes = useMemo(() => changesOf(settled, top?.key ?? null), [settled, top?.key]);
  const answer = useFetch(changes.length === 0 ? null : `${scope} ${period.from}-${period.to} ${JSON.stringify(changes)}`, (s) => analysis.whatIf(scope, period, changes, s));
  const result = changes.length === 0 ? null : answer.value;
  const gain = result?.gain_points.oee ?? null;
  const parts = result?.good_parts_a_shift ?? null;
  return (
    <section class="panel what-if" aria-labelledby="what-if-title">
      <header class="panel-head">
        <h2 id="what-if-title">{t('whatif.title')}</h2>
        {changes.length > 0 && (
          <button type="button" class="small" onClick={() => setWish(NOTHING)}>
            {t('whatif.reset')}
          </button>
        )}
      </header>
      <div class="sliders">
        {SLIDERS.map(({ id, max, step }) =>
          id === 'reason' && top === null ? null : (
            <label key={id}>
              <span>
                {t(`whatif.${id}`, { reason: top?.name ?? '' })}
                <b class="num">{wish[id] === 0 ? t('whatif.as_was') : id === 'minor' ? `< ${wish[id]}\u202fs` : `−${wish[id]}\u202f%`}</b>
              </span>
              <input type="range" min="0" max={max} step={step} value={wish[id]} onInput={(e) => setWish({ ...wish, [id]: Number(e.currentTarget.value) })} />
            </label>
          ),
        )}
      </div>
      <p class="what-if-gain" role="status" aria-live="polite">
        {changes.length === 0 ? (
          <span class="sub">{t('whatif.hint')}</span>
        ) : answer.error !== null ? (
          <span class="note bad">{t('app.failed', { reason: answer.error })}</span>
        ) : result === null ? (
          <span class="sub">{t('app.loading')}</span>
        ) : (
          <>
            <strong class="big num">{gain === null ? t('analysis.no_data') : format.signed(gain)}</strong>{' '}
            {gain !== null && t('whatif.points', { after: format.percent(result.after.oee) })}
            {parts !== null && <span class="num"> · {t('whatif.parts', { n: format.signed(parts, 0) })}</span>}
            <span class="sub num"> · {t('whatif.freed', { time: format.duration(result.freed_s) })}</span>
          </>
        )}
      </p>
    </section>
  );
}
