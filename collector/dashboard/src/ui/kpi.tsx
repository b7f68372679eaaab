/** OEE and its three factors as numbers with bars. */

import type { Oee } from '../api/types.ts';
import { UNKNOWN } from '../format.ts';
import { finite } from '../model/rollup.ts';
import { useApp } from '../state/context.ts';

export type Factor = 'availability' | 'performance' | 'quality';
export const FACTORS: { name: Factor; short: 'kpi.a' | 'kpi.p' | 'kpi.q' }[] = [
  { name: 'availability', short: 'kpi.a' },
  { name: 'performance', short: 'kpi.p' },
  { name: 'quality', short: 'kpi.q' },
];

type Ratios = Pick<Oee, 'availability' | 'performance' | 'quality' | 'oee'>;

/** A ratio as a bar on a full-length track; above one it is full and marked. */
export function Bar({ ratio, strong = false }: { ratio: number | null; strong?: boolean }) {
  const known = finite(ratio);
  const share = known === null ? 0 : Math.max(0, Math.min(1, known));
  return (
    <svg class={`bar ${strong ? 'strong' : ''} ${known === null ? 'unknown' : ''}`} viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect class="track" width="100" height="6" />
      <rect class="fill" width={share * 100} height="6" />
      {known !== null && known > 1.0005 && <rect class="over" x="96" width="4" height="6" />}
    </svg>
  );
}

/** The three factors, small: letter, bar, number. */
export function Factors({ ratios }: { ratios: Ratios | null }) {
  const { words, format } = useApp();
  return (
    <span class="factors">
      {FACTORS.map(({ name, short }) => {
        const value = finite(ratios?.[name]);
        return (
          <span class="factor" key={name} title={`${words.t(`kpi.${name}`)}: ${value === null ? words.t('kpi.unknown') : format.percent(value)}`}>
            <abbr aria-label={words.t(`kpi.${name}`)}>{words.t(short)}</abbr>
            <Bar ratio={value} />
            <span class="num">{value === null ? UNKNOWN : format.percent(value, 0)}</span>
          </span>
        );
      })}
    </span>
  );
}

/** The three factors with their full names. */
export function FactorList({ ratios, onOpen, open }: { ratios: Ratios | null; onOpen?: () => void; open?: boolean }) {
  const { words, format } = useApp();
  return (
    <dl class="factor-list">
      {FACTORS.map(({ name }) => {
        const value = finite(ratios?.[name]);
        return (
          <div key={name}>
            <dt>{words.t(`kpi.${name}`)}</dt>
            <dd>
              <Bar ratio={value} />
              {onOpen ? (
                <button type="button" class="number-link num" onClick={onOpen} aria-expanded={open ?? false}>
                  {format.percent(value)}
                </button>
              ) : (
                <span class="num">{format.percent(value)}</span>
              )}
            </dd>
          </div>
        );
      })}
    </dl>
  );
}
