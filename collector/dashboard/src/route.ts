/** What the address says. Everything that a person may want to send to another is in the hash. */

import { KINDS, type PeriodChoice, type PeriodKind } from './model/calendar.ts';
import { PRESETS, type Preset, type View } from './model/range.ts';

export type Route =
  | { page: 'plant'; filter: string; only: string }
  | { page: 'machine'; asset: string; view: View }
  | FleetRoute
  | OeeRoute
  | MaintenanceRoute
  | EnergyRoute;

/** `loss`: the row of the waterfall that is open. `stop`: where the interval begins that is open. `shift`: which shift's timeline is shown in a longer period. */
export interface OeeRoute {
  page: 'oee';
  scope: string;
  time: PeriodChoice;
  by: string;
  loss: string;
  stop: number | null;
  shift: number | null;
}

/** `asset`: the machine whose detail is shown. */
export interface MaintenanceRoute {
  page: 'maintenance';
  scope: string;
  asset: string;
  component: string;
}

export interface EnergyRoute {
  page: 'energy';
  scope: string;
  time: PeriodChoice;
}

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
  const text = (name: string) => params.get(name) ?? '';
  const time = (name: string) => {
    const value = Date.parse(text(name));
    return Number.isFinite(value) ? value : null;
  };
  const choice = (fallback: PeriodKind): PeriodChoice => {
    const kind = text('period') as PeriodKind;
    return { kind: KINDS.includes(kind) ? kind : fallback, at: time('at'), from: time('from'), to: time('to') };
  };
  if (path === 'oee')
    return { page: 'oee', scope: text('scope'), time: choice('shift'), by: text('by'), loss: text('loss'), stop: time('stop'), shift: time('shift') };
  if (path === 'maintenance') return { page: 'maintenance', scope: text('scope'), asset: text('asset'), component: text('component') };
  if (path === 'energy') return { page: 'energy', scope: text('scope'), time: choice('day') };
  if (path === 'fleet') return { page: 'fleet', open: params.get('open') ?? '', gateway: params.get('gateway') ?? '', reason: params.get('reason') ?? '' };
  if (path.startsWith('machine/')) {
    let asset: string;
    try {
      asset = decodeURIComponent(path.slice('machine/'.length));
    } catch {
      return { page: 'plant', filter: '', only: '' };
    }
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

function timed(params: URLSearchParams, time: PeriodChoice | undefined): void {
  if (!time) return;
  params.set('period', time.kind);
  for (const name of time.kind === 'custom' ? (['from', 'to'] as const) : (['at'] as const)) if (time[name] !== null) params.set(name, iso(time[name]));
}

export function oeeHref(route: Partial<Omit<OeeRoute, 'page'>>): string {
  const params = new URLSearchParams();
  if (route.scope) params.set('scope', route.scope);
  timed(params, route.time);
  for (const name of ['by', 'loss'] as const) if (route[name]) params.set(name, route[name]);
  for (const name of ['shift', 'stop'] as const) if (route[name] != null) params.set(name, iso(route[name]));
  return withQuery('#/oee', params);
}

export function maintenanceHref(route: Partial<Omit<MaintenanceRoute, 'page'>> = {}): string {
  const params = new URLSearchParams();
  for (const name of ['scope', 'asset', 'component'] as const) if (route[name]) params.set(name, route[name]);
  return withQuery('#/maintenance', params);
}

export function energyHref(route: Partial<Omit<EnergyRoute, 'page'>>): string {
  const params = new URLSearchParams();
  if (route.scope) params.set('scope', route.scope);
  timed(params, route.time);
  return withQuery('#/energy', params);
}

const iso = (ms: number) => new Date(ms).toISOString();

export function machineHref(asset: string, view: Partial<View> = {}): string {
  const params = new URLSearchParams();
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
  const text = params.toString().replaceAll('%3A', ':').replaceAll('%2F', '/');
  return text ? `${path}?${text}` : path;
}
