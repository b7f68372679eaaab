/** Losses by size; a tick in each bar's place says what they add up to, from nothing to all. */

import type { ParetoRow } from '../api/oee-types.ts';
import { useApp } from '../state/context.ts';

const SHOWN = 8;

export function ParetoChart({ rows, open, choose }: { rows: ParetoRow[]; open: string; choose: (key: string) => void }) {
  const { words, format } = useApp();
  const { t } = words;
  const shown = rows.filter((r) => r.seconds > 0).slice(0, SHOWN);
  if (shown.length === 0) return <p class="sub">{t('oee.no_losses')}</p>;
  const most = shown[0]?.seconds ?? 1;
  return (
    <div class="pareto">
      <ol>
        {shown.map((r) => (
          <li key={`${r.category}${r.key}`}>
            <button type="button" class="pareto-row" aria-pressed={open === r.key} onClick={() => choose(open === r.key ? '' : r.key)} title={t('oee.pareto_choose')}>
              <span class="name">
                {r.has_reason ? r.name : words.word('node', r.key)}
                <span class="sub">
                  {words.word('node', r.category)}
                  {!r.has_reason && isStopCategory(r.category) && ` · ${t('oee.unassigned')}`}
                </span>
              </span>
              <span class="pareto-bar" aria-hidden="true">
                <i style={{ width: `${(r.seconds / most) * 100}%` }} />
                {r.cumulative !== null && <b style={{ left: `${Math.min(1, Math.max(0, r.cumulative)) * 100}%` }} />}
              </span>
              <span class="num right">
                {format.duration(r.seconds)}
                <span class="sub">
                  {r.stops > 0 ? words.n('oee.stops', r.stops, format.count(r.stops)) : '\u00a0'}
                </span>
              </span>
              <span class="num right cumulative">{format.percent(r.cumulative, 0)}</span>
            </button>
          </li>
        ))}
      </ol>
    </div>
  );
}

function isStopCategory(category: string): boolean {
  return category === 'breakdowns' || category === 'setup_and_adjustments' || category === 'minor_stops';
}
