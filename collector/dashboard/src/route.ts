/** What the address says. Everything that a person may want to send to another is in the hash. */

import { PRESETS, type Preset, type View } from './model/range.ts';

export type Route = { page: 'plant'; filter: string; only: string } | { page: 'machine'; asset: string; view: View } | FleetRoute;

/** `open`: the gateway whose account is shown. `gateway`, `reason`: which losses are listed. */
export interface FleetRoute {
  page: 'fleet';
  open: string;
  gateway: string;
  reason: string;
}

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const params = new URLSearchParams(query);
  if (path === 'fleet') return { page: 'fleet', open: params.get('open') ?? '', gateway: params.get('gateway') ?? '', reason: params.get('reason') ?? '' };
  if (path.startsWith('machine/')) {
    let asset: string;
    try {
      asset = decodeURIComponent(path.slice('machine/'.length));
    } catch {
      return { page: 'plant', filter: '', only: '' };
    }
    const time = (name: string) => {
      const text = params.get(name);
      const value = text === null ? Number.NaN : Date.parse(text);
      return Number.isFinite(value) ? value : null;
    };
    const [from, to] = [time('from'), time('to')];
    const fixed = from !== null && to !== null && to > from;
    const range = params.get('range') as Preset | null;
    const preset = fixed ? null : range !== null && PRESETS.includes(range) ? range : '15m';
    return { page: 'machine', asset, view: { preset, from: fixed ? from : null, to: fixed ? to : null, at: time('at') } };
  }
  return { page: 'plant', filter: params.get('filter') ?? '', only: params.get('only') ?? '' };
}

export function plantHref(filter = '', only = ''): string {
  const params = new URLSearchParams();
  if (filter) params.set('filter', filter);
  if (only) params.set('only', only);
  return withQuery('#/plant', params);
}

export function fleetHref(route: Partial<Omit<FleetRoute, 'page'>> = {}): string {
  const params = new URLSearchParams();
  for (const name of ['open', 'gateway', 'reason'] as const) if (route[name]) params.set(name, route[name]);
  return withQuery('#/fleet', params);
}

export function machineHref(asset: string, view: Partial<View> = {}): string {
  const params = new URLSearchParams();
  const iso = (ms: number) => new Date(ms).toISOString();
  if (view.preset) params.set('range', view.preset);
  else if (view.from != null && view.to != null) {
    params.set('from', iso(view.from));
    params.set('to', iso(view.to));
  }
  if (view.at != null) params.set('at', iso(view.at));
  return withQuery(`#/machine/${asset.split('/').map(encodeURIComponent).join('/')}`, params);
}

/** A link to a moment: five minutes around it. */
export function momentHref(asset: string, at: number): string {
  return machineHref(asset, { preset: null, from: at - 150_000, to: at + 150_000, at });
}

function withQuery(path: string, params: URLSearchParams): string {
  // Colons are legal in a fragment, and times stay readable.
  const text = params.toString().replaceAll('%3A', ':');
  return text ? `${path}?${text}` : path;
}
