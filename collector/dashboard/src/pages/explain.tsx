/** What an OEE is made of: the formula with its numbers, and the intervals that were lost. */

import type { Asset, Oee } from '../api/types.ts';
import { finite, partsOf } from '../model/rollup.ts';
import { clip, type TimeSpan } from '../model/timeline.ts';
import { useApp } from '../state/context.ts';
import { StateMark } from '../ui/marks.tsx';

const LISTED = 12;

export interface Explained {
  kind: 'shift' | 'hour';
  from: number;
  to: number;
  oee: Oee | null;
  parts: Asset['parts'];
}

export function Explain(props: { what: Explained; spans: TimeSpan[]; ideal: number | null; close: () => void; choose: (span: TimeSpan) => void }) {
  const { words, format } = useApp();
  const { t, n } = words;
  const { what } = props;
  const oee = what.oee;
  const production = finite(oee?.times?.production_s);
  const planned = finite(oee?.times?.planned_busy_s);
  const performance = finite(oee?.performance);
  const parts = partsOf(oee, what.parts);
  const good = finite(oee?.counts?.good) ?? (parts.produced === null || parts.rejected === null ? null : parts.produced - parts.rejected);
  const name =
    what.kind === 'shift'
      ? t('explain.shift')
      : t('explain.hour', { from: format.hourMinute(what.from), to: format.hourMinute(what.to) });

  const ideal = props.ideal;
  const agrees = performance !== null && production !== null && ideal !== null && parts.produced !== null && Math.abs(performance * production - ideal * parts.produced) < ideal;
  const lines: { label: string; value: number | null; how: string }[] = [
    { label: t('kpi.availability'), value: finite(oee?.availability), how: t('explain.availability', { production: format.duration(production), planned: format.duration(planned) }) },
    {
      label: t('kpi.performance'),
      value: performance,
      how: agrees
        ? t('explain.performance', { parts: format.count(parts.produced), cycle: `${format.value(ideal)}\u202fs`, production: format.duration(production) })
        : t('explain.performance_short', {
            ideal: format.duration(performance !== null && production !== null ? performance * production : null),
            production: format.duration(production),
          }),
    },
    { label: t('kpi.quality'), value: finite(oee?.quality), how: t('explain.quality', { good: format.count(good), total: format.count(parts.produced) }) },
    { label: t('kpi.oee'), value: finite(oee?.oee), how: t('explain.oee') },
  ];
  const lost = clip(props.spans, what.from, what.to)
    .filter((s) => s.state !== 'producing')
    .sort((a, b) => b.to - b.from - (a.to - a.from));
  return (
    <section class="explain" aria-labelledby="explain-title">
      <header class="panel-head">
        <h3 id="explain-title">{t('explain.title', { name })}</h3>
        <button type="button" class="small" onClick={props.close}>
          {t('explain.close')}
        </button>
      </header>
      <div class="explain-body">
        <table class="plain sums">
          <tbody>
            {lines.map((l) => (
              <tr key={l.label}>
                <th scope="row">{l.label}</th>
                <td class="right num">
                  <strong>{format.percent(l.value)}</strong>
                </td>
                <td class="num">{l.how}</td>
              </tr>
            ))}
          </tbody>
        </table>
        <div>
          <h4>{t('explain.intervals')}</h4>
          {lost.length === 0 ? (
            <p class="sub">{t('explain.no_intervals')}</p>
          ) : (
            <ul class="intervals">
              {lost.slice(0, LISTED).map((s) => (
                <li key={s.from}>
                  <button type="button" onClick={() => props.choose(s)} title={t('machine.to_hour')}>
                    <StateMark state={s.state} />
                    <span class="num length">{format.duration((s.to - s.from) / 1000)}</span>
                    <span>
                      {words.word('state', s.state)}
                      {s.reason && `: ${words.word('reason', s.reason)}`}
                    </span>
                    <span class="num sub">
                      {format.time(s.from)} – {format.time(s.to)}
                    </span>
                  </button>
                </li>
              ))}
            </ul>
          )}
          {lost.length > LISTED && <p class="sub">{n('explain.more', lost.length - LISTED)}</p>}
        </div>
      </div>
    </section>
  );
}
