/** From the planned time down to the productive time: each loss hangs from where the one above it ended, and opens to its reasons. */

import type { LossNode } from '../api/oee-types.ts';
import type { Oee } from '../api/types.ts';
import type { WaterRow } from '../model/losses.ts';
import { finite } from '../model/rollup.ts';
import { useApp } from '../state/context.ts';
import { SeverityMark } from '../ui/marks.tsx';

const FACTOR = { availability_losses: 'availability', performance_losses: 'performance', quality_losses: 'quality' } as const;
const REASONS_SHOWN = 12;

/** `reasonName`: what the catalogue calls a code, if it knows it. */
export function Waterfall(props: { rows: WaterRow[]; oee: Oee; open: string; toggle: (key: string) => void; reasonName: (code: string) => string | undefined }) {
  const { words, format } = useApp();
  const { t } = words;
  const losses = props.rows.filter((r) => r.role === 'loss');
  const largest = losses.reduce<WaterRow | null>((best, r) => (best === null || r.micros > best.micros ? r : best), null);
  return (
    <ol class="waterfall">
      {props.rows.map((row, i) => {
        const first = row.role === 'loss' && props.rows[i - 1]?.branch !== row.branch;
        const factor = FACTOR[row.branch as keyof typeof FACTOR];
        const opens = row.children.length > 0 && row.role === 'loss';
        const gain = row.micros < 0;
        const body = (
          <>
            <span class="name">
              {row === largest && row.micros > 0 && <SeverityMark severity="high" />}
              {words.word('node', row.key)}
              {row === largest && row.micros > 0 && <span class="sub"> {t('oee.largest')}</span>}
              {gain && row.role === 'loss' && <span class="sub"> {t('oee.gain')}</span>}
            </span>
            <svg class={`water-bar ${row.role} ${row === largest ? 'is-largest' : ''} ${gain ? 'is-gain' : ''}`} viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
              <rect class="track" width="100" height="10" />
              <rect class="fill" x={100 * Math.max(0, Math.min(row.from, 1))} width={Math.max(0.25, 100 * (Math.min(1, row.to) - Math.max(0, Math.min(row.from, 1))))} height="10" />
            </svg>
            <span class="num right">{format.duration(row.seconds)}</span>
            <span class="num right points">{points(row, format.value(row.points === null ? null : Math.abs(row.points), 1), t('oee.points_short'))}</span>
          </>
        );
        return (
          <li key={`${row.branch}${row.key}`} class={`role-${row.role}`} data-micros={row.micros}>
            {first && (
              <p class="water-head">
                <span>{words.word('node', row.branch)}</span>
                <span class="num">
                  {finite(props.oee[factor]) === null ? t('analysis.no_data') : format.percent(finite(props.oee[factor]))}
                </span>
              </p>
            )}
            {opens ? (
              <button type="button" class="water-row" aria-expanded={props.open === row.key} onClick={() => props.toggle(row.key)}>
                {body}
              </button>
            ) : (
              <div class="water-row">{body}</div>
            )}
            {opens && props.open === row.key && <Children node={row} reasonName={props.reasonName} />}
          </li>
        );
      })}
    </ol>
  );
}

function points(row: WaterRow, text: string, unit: string): string {
  if (row.points === null) return '';
  const sign = row.role !== 'loss' ? '' : row.micros < 0 ? '+' : '−';
  return `${sign}${text}\u202f${unit}`;
}

/** Causes, and below them reasons: the largest first. */
function Children({ node, reasonName }: { node: Pick<LossNode, 'children' | 'seconds'>; reasonName: (code: string) => string | undefined }) {
  const { words, format } = useApp();
  const leaves: { name: string; node: LossNode }[] = [];
  const visit = (n: LossNode, above: string) => {
    const text = n.key === 'unassigned' ? words.t('oee.unassigned') : (reasonName(n.key) ?? words.word('node', n.key));
    const name = above ? `${above}: ${text}` : text;
    if (n.children.length === 0) leaves.push({ name, node: n });
    else for (const child of n.children) visit(child, name);
  };
  for (const child of node.children) visit(child, '');
  const sorted = leaves.filter((l) => l.node.micros !== 0).sort((a, b) => b.node.micros - a.node.micros);
  return (
    <ul class="water-children">
      {sorted.slice(0, REASONS_SHOWN).map(({ name, node: n }) => (
        <li key={name}>
          <span>{name}</span>
          <span class="num">
            {format.duration(n.seconds)}
            {n.stops !== null && n.stops > 0 && ` · ${words.n('oee.stops', n.stops, format.count(n.stops))}`}
            {n.parts !== null && ` · ${words.t('oee.parts_lost', { n: format.count(Math.round(n.parts)) })}`}
          </span>
        </li>
      ))}
      {sorted.length > REASONS_SHOWN && <li class="sub">{words.n('explain.more', sorted.length - REASONS_SHOWN)}</li>}
    </ul>
  );
}
