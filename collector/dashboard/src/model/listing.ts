/** The plant's list: filtered, ordered, with a heading for each line. Pure. */

import type { Asset } from '../api/types.ts';
import { type RollUp, rollUp, type Standing, standing } from './rollup.ts';

export type Only = '' | 'abnormal' | Standing;
export type Order = 'place' | 'oee';

export type Item =
  | { kind: 'line'; key: string; site: string; area: string; line: string; sums: RollUp; machines: number; abnormal: number }
  | { kind: 'machine'; key: string; asset: Asset };

export function isAbnormal(asset: Asset): boolean {
  const s = standing(asset);
  return s === 'stopped' || s === 'stale';
}

/** All words of `filter` must occur somewhere in what is known of the machine. */
export function matches(asset: Asset, filter: string, stateText: string): boolean {
  const all = `${asset.asset} ${stateText} ${asset.stop_reason ?? ''} ${asset.gateway ?? ''}`.toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word));
}

export function list(assets: Asset[], filter: string, only: Only, order: Order, stateText: (asset: Asset) => string): { items: Item[]; machines: number } {
  const kept = assets.filter((a) => {
    if (only === 'abnormal' ? !isAbnormal(a) : only !== '' && standing(a) !== only) return false;
    return filter === '' || matches(a, filter, stateText(a));
  });
  if (order === 'oee') {
    const value = (a: Asset) => a.oee?.oee ?? Number.POSITIVE_INFINITY;
    const sorted = kept.toSorted((a, b) => value(a) - value(b) || a.asset.localeCompare(b.asset));
    return { items: sorted.map((asset) => ({ kind: 'machine', key: asset.asset, asset })), machines: kept.length };
  }
  const groups = new Map<string, Asset[]>();
  for (const asset of kept) {
    const key = `${asset.site}/${asset.area}/${asset.line}`;
    const group = groups.get(key);
    if (group) group.push(asset);
    else groups.set(key, [asset]);
  }
  const items: Item[] = [];
  for (const [key, group] of groups) {
    const first = group[0] as Asset;
    items.push({
      kind: 'line',
      key,
      site: first.site,
      area: first.area,
      line: first.line,
      sums: rollUp(group),
      machines: group.length,
      abnormal: group.filter(isAbnormal).length,
    });
    for (const asset of group) items.push({ kind: 'machine', key: asset.asset, asset });
  }
  return { items, machines: kept.length };
}

/** Event time of the newest value of a machine, `null` if it has none. */
export function newestValue(asset: Asset): number | null {
  let newest: number | null = null;
  for (const s of asset.signals) {
    const at = s.event_time === null ? Number.NaN : Date.parse(s.event_time);
    if (Number.isFinite(at) && (newest === null || at > newest)) newest = at;
  }
  return newest;
}
