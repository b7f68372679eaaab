/** OEE of each hour of the shift with its factors; each hour opens to what it is made of. */

import type { OeeAnswer } from '../api/types.ts';
import { UNKNOWN } from '../format.ts';
import { finite } from '../model/rollup.ts';
import type { Period } from '../model/range.ts';
import { useApp } from '../state/context.ts';
import { FACTORS } from '../ui/kpi.tsx';

const HOUR_MS = 3_600_000;

export function HourBars(props: { buckets: OeeAnswer['buckets']; shift: Period; chosen: Period | null; choose: (bucket: OeeAnswer['buckets'][number]) => void }) {
  const { words, format } = useApp();
  const { t } = words;
  // Each hour stands below its place in the strip of states; the one that runs takes the room that it will have.
  const last = props.buckets.at(-1);
  const end = last ? Math.min(props.shift.to, (Math.floor(Date.parse(last.from) / HOUR_MS) + 1) * HOUR_MS) : props.shift.from;
  return (
    <ol class="hours">
      {props.buckets.map((b, i) => {
        const from = Date.parse(b.from);
        const to = Date.parse(b.to);
        const room = (i === props.buckets.length - 1 ? end : to) - from;
        const oee = finite(b.oee?.oee);
        const share = (v: number | null) => `${Math.max(0, Math.min(1, v ?? 0)) * 100}%`;
        const spoken = [
          `${format.hourMinute(from)}–${format.hourMinute(to)}: ${t('kpi.oee')} ${oee === null ? t('kpi.unknown') : format.percent(oee)}`,
          ...FACTORS.map(({ name }) => `${t(`kpi.${name}`)} ${format.percent(b.oee?.[name])}`),
        ].join(', ');
        return (
          <li key={b.from} style={{ flexGrow: String(room / HOUR_MS) }}>
            <button
              type="button"
              class={`hour ${oee === null ? 'unknown' : ''}`}
              aria-label={spoken}
              title={spoken}
              aria-pressed={props.chosen !== null && props.chosen.from === from && props.chosen.to === to}
              onClick={() => props.choose(b)}
            >
              <span class="hour-value num">{oee === null ? UNKNOWN : format.percent(oee, 0).replace(/\s/g, '')}</span>
              <span class="hour-bars" aria-hidden="true">
                <span class="hour-bar main">
                  <i style={{ height: share(oee) }} />
                </span>
                {FACTORS.map(({ name, short }) => (
                  <span class="hour-bar" key={name}>
                    <i style={{ height: share(finite(b.oee?.[name])) }} />
                    <small>{t(short)}</small>
                  </span>
                ))}
              </span>
              <span class="hour-time num">{format.hourMinute(from)}</span>
            </button>
          </li>
        );
      })}
      {end < props.shift.to && <li class="rest" style={{ flexGrow: String((props.shift.to - end) / HOUR_MS) }} aria-hidden="true" />}
    </ol>
  );
}
