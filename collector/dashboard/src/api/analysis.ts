/** The calls behind the pages OEE, Maintenance and Energy. They reckon over long periods, so they may take longer than others. */

import { get, iso, send } from './client.ts';
import type { EnergyAnswer, Tariff } from './energy-types.ts';
import type { EventBody, MaintenanceAnswer, ModelCard, PredictionsAnswer, Reliability } from './maintenance-types.ts';
import type { Assigned, Assignment, Change, OeeDetail, ParetoBy, Restated, ShiftView, StopReason, WhatIf } from './oee-types.ts';

const LONG_MS = 60_000;

export interface Span {
  from: number;
  to: number;
}

export interface OeeQuery extends Span {
  asset: string;
  bucket?: 'hour' | 'shift' | 'day' | undefined;
  by?: ParetoBy | undefined;
  explain?: boolean | undefined;
  before?: Span | undefined;
}

const period = (p: Span) => ({ from: iso(p.from), to: iso(p.to) });
const items = <T>(answer: { items: T[] }) => answer.items;

export const analysis = {
  oee: ({ asset, bucket, by, explain, before, ...p }: OeeQuery, signal?: AbortSignal) =>
    get<OeeDetail>(
      '/api/v1/oee',
      {
        asset,
        ...period(p),
        bucket,
        by,
        explain: explain ? 'true' : undefined,
        compare_from: before && iso(before.from),
        compare_to: before && iso(before.to),
      },
      signal,
      LONG_MS,
    ),
  whatIf: (asset: string, p: Span, changes: Change[], signal?: AbortSignal) =>
    send<WhatIf>('POST', '/api/v1/oee/what-if', { asset, ...period(p), changes }, signal, LONG_MS),
  shifts: (p: Span, signal?: AbortSignal) => get<{ items: ShiftView[] }>('/api/v1/shifts', period(p), signal).then(items),
  stopReasons: (signal?: AbortSignal) => get<{ items: StopReason[] }>('/api/v1/stop-reasons', {}, signal).then(items),
  assignments: (asset: string, p: Span, signal?: AbortSignal) =>
    get<{ items: Assignment[] }>('/api/v1/stop-reason-assignments', { asset, ...period(p) }, signal).then(items),
  assign: (body: { asset: string; from: string; to: string; reason: string | null; comment: string }) =>
    send<Assigned>('POST', '/api/v1/stop-reason-assignments', body, undefined, LONG_MS),
  restatements: (asset: string, p: Span, signal?: AbortSignal) =>
    get<{ items: Restated[] }>('/api/v1/restatements', { asset, ...period(p) }, signal).then(items),

  maintenance: (scope: string, signal?: AbortSignal) =>
    get<MaintenanceAnswer>('/api/v1/maintenance', { scope: scope || undefined, sort: 'rul', limit: 1_000 }, signal, LONG_MS),
  models: (signal?: AbortSignal) => get<{ items: ModelCard[] }>('/api/v1/maintenance/models', {}, signal).then(items),
  train: () => send<{ started?: boolean; missing?: string[] } | null>('POST', '/api/v1/maintenance/models/train', {}),
  reliability: (asset: string, component: string, p: Span, costs: { preventive: number; corrective: number } | null, signal?: AbortSignal) =>
    get<Reliability>(
      '/api/v1/maintenance/reliability',
      { asset, component: component || undefined, ...period(p), cost_preventive: costs?.preventive, cost_corrective: costs?.corrective },
      signal,
      LONG_MS,
    ),
  predictions: (asset: string, p: Span, signal?: AbortSignal) =>
    get<PredictionsAnswer>('/api/v1/maintenance/predictions', { asset, ...period(p), limit: 2_000 }, signal, LONG_MS),
  events: (asset: string, p: Span, signal?: AbortSignal) =>
    get<{ items: (EventBody & { event?: EventBody })[] }>('/api/v1/events', { asset, ...period(p), limit: 200 }, signal).then((a) =>
      // The event alone, or with what the collector adds about it.
      a.items.map((item): EventBody => (item.event ? { ...item, ...item.event } : item)),
    ),
  report: (event: EventBody) => send<{ duplicate?: boolean }>('POST', '/api/v1/events', { event }),

  energy: (asset: string, p: Span, bucket: 'quarter_hour' | 'hour' | 'day', signal?: AbortSignal) =>
    get<EnergyAnswer>('/api/v1/energy', { asset, ...period(p), bucket }, signal, LONG_MS),
  tariff: (signal?: AbortSignal) => get<Tariff | null>('/api/v1/tariff', {}, signal),
  setTariff: (tariff: Tariff) => send<Tariff | null>('PUT', '/api/v1/tariff', tariff),
};
