/** REST calls: a time limit on each, problem documents turned into errors, a lost session told to whoever listens. */

import type { Anomaly, Asset, Gateway, LossPage, MetricsAnswer, OeeAnswer, Session, Span } from './types.ts';

/** `status` 0: no answer at all. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
  }
}

const TIMEOUT_MS = 15_000;
/** More pages than this are not asked for: 20,000 machines. */
const MAX_PAGES = 40;

let onUnauthorized: () => void = () => {};
export function whenUnauthorized(then: () => void): void {
  onUnauthorized = then;
}

async function call(path: string, init: RequestInit = {}, signal?: AbortSignal, timeoutMs = TIMEOUT_MS): Promise<Response> {
  const limit = AbortSignal.timeout(timeoutMs);
  let response: Response;
  try {
    response = await fetch(path, {
      ...init,
      credentials: 'same-origin',
      cache: 'no-store',
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, error instanceof Error ? error.message : String(error));
  }
  if (response.ok) return response;
  const problem = (await response.json().catch(() => null)) as { title?: string; detail?: string } | null;
  if (response.status === 401 && !path.endsWith('/login')) onUnauthorized();
  const retry = Number(response.headers.get('retry-after'));
  throw new ApiError(
    response.status,
    problem?.detail ?? problem?.title ?? `${response.status} ${response.statusText}`,
    Number.isFinite(retry) && retry > 0 ? retry : null,
  );
}

export async function get<T>(path: string, query: Record<string, string | number | undefined> = {}, signal?: AbortSignal, timeoutMs?: number): Promise<T> {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) params.set(name, String(value));
  const text = params.toString();
  const response = await call(text ? `${path}?${text}` : path, {}, signal, timeoutMs);
  return (await response.json()) as T;
}

/** Sends JSON; an empty answer is `null`. */
export async function send<T>(method: 'POST' | 'PUT', path: string, body: unknown, signal?: AbortSignal, timeoutMs?: number): Promise<T> {
  const response = await call(path, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }, signal, timeoutMs);
  const text = await response.text();
  return (text === '' ? null : JSON.parse(text)) as T;
}

export const iso = (ms: number) => new Date(ms).toISOString();

export const api = {
  session: () => get<Session>('/api/v1/session'),
  login: (key: string) =>
    call('/api/v1/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ key }) }),
  logout: () => call('/api/v1/logout', { method: 'POST' }),

  async assets(signal?: AbortSignal): Promise<Asset[]> {
    const all: Asset[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < MAX_PAGES; page++) {
      const part = await get<{ items: Asset[]; next: string | null }>('/api/v1/assets', { limit: 500, cursor }, signal);
      all.push(...part.items);
      if (!part.next) break;
      cursor = part.next;
    }
    return all;
  },
  twin: (asset: string, signal?: AbortSignal) => get<Asset>(`/api/v1/industry40/twin/${encodeURIComponent(asset)}`, {}, signal),
  gateways: (signal?: AbortSignal) => get<{ items: Gateway[] }>('/api/v1/gateways', {}, signal).then((a) => a.items),
  oee: (asset: string, from: number, to: number, signal?: AbortSignal) =>
    get<OeeAnswer>('/api/v1/oee', { asset, from: iso(from), to: iso(to), bucket: 'hour' }, signal),
  states: (asset: string, from: number, to: number, signal?: AbortSignal) =>
    get<{ items: Span[] }>('/api/v1/states', { asset, from: iso(from), to: iso(to) }, signal).then((a) => a.items),
  metrics: (asset: string, name: string, from: number, to: number, step: number, signal?: AbortSignal) =>
    get<MetricsAnswer>(`/api/v1/metrics/${encodeURIComponent(name)}`, { asset, from: iso(from), to: iso(to), step }, signal),
  anomalies: (query: { asset?: string; from: number; to: number; limit: number }, signal?: AbortSignal) =>
    get<{ items: Anomaly[] }>('/api/v1/anomalies', { ...query, from: iso(query.from), to: iso(query.to) }, signal).then((a) => a.items),
  losses: (query: { gateway?: string; from: number; to: number; limit: number; cursor?: string }, signal?: AbortSignal) =>
    get<LossPage>('/api/v1/losses', { ...query, from: iso(query.from), to: iso(query.to) }, signal),
};
