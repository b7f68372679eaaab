/**
 * The list of machines. Long lists draw only the rows near the window, so that a thousand machines stay quick.
 * Arrow keys, Home and End move between machines, also to rows that are not drawn yet.
 */

import { Component } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Asset } from '../api/types.ts';
import { UNKNOWN } from '../format.ts';
import { type Item, newestValue } from '../model/listing.ts';
import { finite, partsOf, standing } from '../model/rollup.ts';
import { DRAW_ALL_BELOW, stack, visible } from '../model/window.ts';
import { machineHref, momentHref } from '../route.ts';
import { type App, useApp, useMedia, useNow } from '../state/context.ts';
import { AnomalyText } from '../ui/anomaly.tsx';
import { Bar, Factors } from '../ui/kpi.tsx';
import { StateMark } from '../ui/marks.tsx';

/** Must agree with plant.css. */
const HEIGHTS = { wide: { line: 46, machine: 46 }, phone: { line: 50, machine: 122 } };
const OVERSCAN_PX = 600;
/** Ages of data move in steps of this: a thousand rows need not be drawn each second. */
const AGE_STEP_MS = 5_000;

export function MachineTable({ items, flat }: { items: Item[]; flat: boolean }) {
  const app = useApp();
  const { t } = app.words;
  const phone = useMedia('(max-width: 899px)');
  const box = useRef<HTMLDivElement>(null);
  const windowed = items.length > DRAW_ALL_BELOW;
  const heights = phone ? HEIGHTS.phone : HEIGHTS.wide;
  const tops = useMemo(() => stack(items.map((i) => heights[i.kind])), [items, heights]);
  const [range, setRange] = useState<[number, number]>([0, 40]);
  const now = useNow(AGE_STEP_MS);
  const wanted = useRef<string | null>(null);

  useEffect(() => {
    if (!windowed) return;
    let frame = 0;
    const measure = () => {
      frame = 0;
      if (!box.current) return;
      const top = -box.current.getBoundingClientRect().top;
      const next = visible(tops, top - OVERSCAN_PX, top + innerHeight + OVERSCAN_PX);
      setRange((old) => (old[0] === next[0] && old[1] === next[1] ? old : next));
    };
    const soon = () => {
      frame ||= requestAnimationFrame(measure);
    };
    measure();
    addEventListener('scroll', soon, { passive: true });
    addEventListener('resize', soon);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener('scroll', soon);
      removeEventListener('resize', soon);
    };
  }, [windowed, tops]);

  const focusKey = (key: string) => {
    const link = box.current?.querySelector<HTMLElement>(`a.machine-link[data-key="${CSS.escape(key)}"]`);
    link?.focus();
    return link !== null && link !== undefined;
  };
  useLayoutEffect(() => {
    if (wanted.current !== null && focusKey(wanted.current)) wanted.current = null;
  });

  const onKeyDown = (event: KeyboardEvent) => {
    const link = (event.target as HTMLElement).closest<HTMLElement>('a.machine-link');
    if (!link || event.altKey || event.ctrlKey || event.metaKey) return;
    const at = items.findIndex((i) => i.kind === 'machine' && i.key === link.dataset['key']);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -items.length, End: items.length }[event.key];
    if (step === undefined || at < 0) return;
    event.preventDefault();
    let to = Math.max(0, Math.min(items.length - 1, at + step));
    const direction = step > 0 ? 1 : -1;
    while (items[to] && items[to]?.kind !== 'machine') to += direction;
    // Above the first machine there is only its heading.
    const item = items[to] ?? items.find((i) => i.kind === 'machine');
    if (!item || !box.current) return;
    if (!focusKey(item.key)) {
      wanted.current = item.key;
      const top = box.current.getBoundingClientRect().top + scrollY + (tops[to] ?? 0);
      scrollTo({ top: top - innerHeight / 2 });
    }
  };

  const [first, last] = windowed ? [Math.min(range[0], items.length), Math.min(range[1], items.length)] : [0, items.length];
  const drawn = items.slice(first, last);
  return (
    <div class={`table ${windowed ? 'windowed' : ''}`} role="table" aria-label={t('plant.table')} aria-rowcount={items.length + 1} onKeyDown={onKeyDown}>
      <div class="row head" role="row">
        <span role="columnheader">{t('col.machine')}</span>
        <span role="columnheader">{t('col.state')}</span>
        <span role="columnheader">{t('col.oee')}</span>
        <span role="columnheader">{t('col.factors')}</span>
        <span role="columnheader" class="right">
          {t('col.parts')}
        </span>
        <span role="columnheader">{t('col.anomaly')}</span>
        <span role="columnheader" class="right">
          {t('col.age')}
        </span>
      </div>
      <div class="rows" ref={box} role="rowgroup">
        {windowed && <div role="presentation" style={{ height: `${tops[first] ?? 0}px` }} />}
        {drawn.map((item, i) =>
          item.kind === 'line' ? (
            <LineHead key={item.key} item={item} index={first + i + 2} />
          ) : (
            <Row key={item.key} asset={item.asset} app={app} now={now} index={first + i + 2} flat={flat} />
          ),
        )}
        {windowed && <div role="presentation" style={{ height: `${(tops.at(-1) ?? 0) - (tops[last] ?? 0)}px` }} />}
      </div>
      <p class="hint keys">{t('plant.keys')}</p>
    </div>
  );
}

function LineHead({ item, index }: { item: Item & { kind: 'line' }; index: number }) {
  const { words, format } = useApp();
  return (
    <div class="row line" role="row" aria-rowindex={index}>
      <span role="rowheader" class="place">
        <span>{item.site}</span> <i>/</i> <span>{item.area}</span> <i>/</i> <strong>{item.line}</strong>
      </span>
      <span class="line-oee num" role="cell">
        {item.abnormal > 0 && (
          <span class="line-bad">
            {item.abnormal} {words.t('plant.only.abnormal').toLowerCase()}
          </span>
        )}
        <span>
          {words.t('kpi.oee')} {format.percent(item.sums.oee)}
        </span>
      </span>
    </div>
  );
}

interface RowProps {
  asset: Asset;
  app: App;
  now: number;
  index: number;
  flat: boolean;
}

/** Drawn again only if its machine was replaced or the time moved on. */
class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    const { asset, app, now, index, flat } = this.props;
    return next.asset !== asset || next.app !== app || next.now !== now || next.index !== index || next.flat !== flat;
  }

  override render() {
    const { asset, app, now, index, flat } = this.props;
    const { words, format } = app;
    const { t } = words;
    const newest = newestValue(asset);
    const since = asset.state_since === null ? null : Date.parse(asset.state_since);
    const parts = partsOf(asset.oee, asset.parts);
    const oee = finite(asset.oee?.oee);
    const anomaly = asset.last_anomaly;
    const kind = standing(asset);
    return (
      <div class={`row machine is-${kind}`} role="row" aria-rowindex={index}>
        <span class="cell name" role="rowheader">
          <a class="machine-link" href={machineHref(asset.asset)} data-key={asset.asset}>
            {asset.machine}
          </a>
          {flat && (
            <span class="sub">
              {asset.site} / {asset.area} / {asset.line}
            </span>
          )}
        </span>
        <span class="cell state" role="cell">
          <StateMark state={asset.stale ? 'stale' : (asset.state ?? 'no_data')} />
          <span class="state-text">
            <span class="state-word">
              {asset.stale ? t('state.stale') : words.word('state', asset.state ?? 'no_data')}
              {since !== null && !asset.stale && <span class="for num"> {format.age(now - since)}</span>}
            </span>
            {asset.stale
              ? asset.state !== null && <span class="sub">{t('state.was', { state: words.word('state', asset.state).toLowerCase() })}</span>
              : asset.stop_reason && <span class="sub">{words.word('reason', asset.stop_reason)}</span>}
          </span>
        </span>
        <span class="cell oee" role="cell">
          <span class="label">{t('kpi.oee')}</span>
          <span class="num" data-testid="oee">
            {format.percent(oee)}
          </span>
          <Bar ratio={oee} strong />
        </span>
        <span class="cell factors-cell" role="cell">
          <Factors ratios={asset.oee} />
        </span>
        <span class="cell parts right num" role="cell">
          <span class="label">{t('kpi.parts')}</span>
          <span data-testid="parts">{format.count(parts.produced)}</span> <span class="sub">({format.count(parts.rejected)})</span>
        </span>
        <span class="cell anomaly-cell" role="cell">
          {anomaly ? (
            <a class="over-row" href={momentHref(anomaly.asset, Date.parse(anomaly.event_time))}>
              <AnomalyText anomaly={anomaly} now={now} />
              <span class="sub num">{t('fleet.ago', { age: format.age(now - Date.parse(anomaly.event_time)) })}</span>
            </a>
          ) : (
            <span class="sub none">{UNKNOWN}</span>
          )}
        </span>
        <span
          class="cell age right num"
          role="cell"
          title={newest === null ? undefined : t('col.age_title', { time: format.moment(newest, now) })}
        >
          <span class="label">{t('col.age')}</span>
          {newest === null ? UNKNOWN : format.age(now - newest)}
        </span>
      </div>
    );
  }
}
