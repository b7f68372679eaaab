/** Energy by machine state, one stacked bar for each shift or day. */

import type { EnergyState } from '../api/energy-types.ts';
import { ENERGY_STATES } from '../api/energy-types.ts';
import type { StateBar } from '../model/power.ts';
import { useApp } from '../state/context.ts';

/** Below each other in the bar: what makes parts stands on the ground. */
const STACK: EnergyState[] = ['producing', 'setup', 'idle', 'planned_stop', 'unplanned_stop', 'offline', 'unknown'];

export function StateBars({ bars, nameOf }: { bars: StateBar[]; nameOf: (bar: StateBar) => string }) {
  const { words, format } = useApp();
  const most = Math.max(1e-9, ...bars.map((b) => STACK.reduce((sum, s) => sum + b.kwh[s], 0)));
  const used = ENERGY_STATES.filter((s) => bars.some((b) => b.kwh[s] > 0));
  return (
    <>
      <ol class="state-bars">
        {bars.map((bar) => {
          const said = bar.known_s <= 0 ? `${nameOf(bar)}: ${words.t('analysis.no_data')}` : `${nameOf(bar)}: ${format.value(bar.total, 1)} kWh. ${used
            .filter((s) => bar.kwh[s] > 0)
            .map((s) => `${stateText(s)} ${format.value(bar.kwh[s], 1)} kWh`)
            .join(', ')}`;
          return (
            <li key={bar.from} title={said}>
              <span class="num value">{bar.known_s <= 0 ? <small>{words.t('analysis.no_data')}</small> : format.value(bar.total, bar.total >= 100 ? 0 : 1)}</span>
              <span class="stack" role="img" aria-label={said}>
                {STACK.toReversed()
                  .filter((s) => bar.kwh[s] > 0)
                  .map((s) => (
                    <i key={s} class={`state-${s === 'unknown' ? 'no_data' : s}`} style={{ height: `${(bar.kwh[s] / most) * 100}%` }} />
                  ))}
              </span>
              <span class="name num">{nameOf(bar)}</span>
            </li>
          );
        })}
      </ol>
      <ul class="legend">
        {used.map((s) => (
          <li key={s}>
            <i class={`swatch state-${s === 'unknown' ? 'no_data' : s}`} />
            <span>{stateText(s)}</span>
            <span class="num">{format.value(bars.reduce((sum, b) => sum + b.kwh[s], 0), 1)} kWh</span>
          </li>
        ))}
      </ul>
    </>
  );

  function stateText(state: EnergyState): string {
    return state === 'unknown' ? words.t('energy.unknown_state') : words.word('state', state);
  }
}
