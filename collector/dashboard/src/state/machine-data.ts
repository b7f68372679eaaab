/**
 * What the machine page shows over time: history over REST, the newest from the live link.
 *
 * History is fetched anew when the period changes, after a gap, and now and then, which also takes in late data;
 * what came over the link while an answer was on its way is added to it.
 */

import { useEffect, useMemo, useReducer, useRef, useState } from 'preact/hooks';
import { api } from '../api/client.ts';
import type { Anomaly, OeeAnswer, Summary } from '../api/types.ts';
import type { Period } from '../model/range.ts';
import { SeriesBuffer, stepFor } from '../model/series.ts';
import { applyChange, parseSpans, type TimeSpan } from '../model/timeline.ts';
import { useApp, usePlant } from './context.ts';
import { newestFirst, sameAnomaly } from './plant.ts';

const CAPACITY = 1_000;
const RECENT_KEPT = 600;
const ANOMALIES_KEPT = 300;
const REFRESH_LIVE_MS = 60_000;
const REFRESH_OEE_MS = 15_000;
const REFRESH_POLLING_MS = 5_000;
/** A restart of the clock that is older than this many steps is fetched, not patched. */
const EDGE_STEPS = 2;

export interface History {
  series: Map<string, SeriesBuffer>;
  stepS: number;
  spans: TimeSpan[];
  anomalies: Anomaly[];
  error: string | null;
  loading: boolean;
}

/** A number that goes up whenever data has to be fetched again. */
function useRefresh(everyMs: number): number {
  const { link } = useApp();
  const plant = usePlant();
  const [count, more] = useReducer((n: number) => n + 1, 0);
  const live = link.health === 'live' || link.health === 'starting';
  useEffect(() => {
    const timer = setInterval(() => more(0), live ? everyMs : REFRESH_POLLING_MS);
    return () => clearInterval(timer);
  }, [live, everyMs]);
  return count + plant.generation * 1_000_000;
}

/**
 * `frame` names what is looked at (it changes when the reader chooses another period, not with each second);
 * `period` says where that is now.
 */
export function useHistory(asset: string, signals: string[], frame: string, period: () => Period, statesFrom: number): History {
  const { plant, link } = useApp();
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const refresh = useRefresh(REFRESH_LIVE_MS);
  const state = useRef<History>({ series: new Map(), stepS: 5, spans: [], anomalies: [], error: null, loading: true });
  const recent = useRef<Summary[]>([]);
  const names = signals.join('\n');

  useEffect(() => {
    const abort = new AbortController();
    const p = period();
    const stepS = stepFor((p.to - p.from) / 1000);
    const edge = EDGE_STEPS * stepS * 1000;
    const now = plant.now();
    const load = async () => {
      const list = names === '' ? [] : names.split('\n');
      const [answers, spans, anomalies] = await Promise.all([
        Promise.all(list.map((s) => api.metrics(asset, s, p.from - edge, Math.min(p.to + edge, now + edge), stepS, abort.signal))),
        api.states(asset, Math.min(statesFrom, p.from), Math.min(now, Math.max(p.to, now)), abort.signal),
        api.anomalies({ asset, from: p.from, to: p.to + 60_000, limit: ANOMALIES_KEPT }, abort.signal),
      ]);
      const series = new Map<string, SeriesBuffer>();
      for (const [i, answer] of answers.entries()) {
        const name = list[i] as string;
        const buffer = new SeriesBuffer(stepS, CAPACITY);
        buffer.fill(answer.points);
        const last = answer.points.at(-1);
        const known = last ? Date.parse(last.at) / 1000 + stepS : 0;
        for (const s of recent.current) if (s.signal === name && Date.parse(s.start) / 1000 >= known) buffer.push(s);
        series.set(name, buffer);
      }
      state.current = { series, stepS, spans: parseSpans(spans), anomalies: anomalies.toSorted(newestFirst), error: null, loading: false };
      redraw(0);
    };
    load().catch((error: unknown) => {
      if (abort.signal.aborted) return;
      state.current = { ...state.current, error: error instanceof Error ? error.message : String(error), loading: false };
      redraw(0);
    });
    return () => abort.abort();
  }, [asset, names, frame, refresh, statesFrom, link]);

  useEffect(
    () =>
      plant.onMessage((message) => {
        let changed = false;
        const h = state.current;
        if (message.type === 'Metrics') {
          for (const s of message.payload.summaries ?? []) {
            if (s.asset !== asset) continue;
            recent.current.push(s);
            h.series.get(s.signal)?.push(s);
            changed = true;
          }
          if (recent.current.length > RECENT_KEPT) recent.current.splice(0, recent.current.length - RECENT_KEPT);
        } else if (message.type === 'Events') {
          for (const e of message.payload.states ?? []) {
            if (e.asset !== asset) continue;
            h.spans = applyChange(h.spans, Date.parse(e.event_time), e.state, e.stop_reason ?? '');
            changed = true;
          }
        } else if (message.type === 'Alerts') {
          for (const a of message.payload.anomalies ?? []) {
            if (a.asset !== asset || h.anomalies.some((b) => sameAnomaly(a, b))) continue;
            h.anomalies = [a, ...h.anomalies].sort(newestFirst).slice(0, ANOMALIES_KEPT);
            changed = true;
          }
        }
        if (changed) redraw(0);
      }),
    [plant, asset],
  );
  return state.current;
}

/** OEE of the shift and of each of its hours. */
export function useOee(asset: string, shift: Period | null): { answer: OeeAnswer | null; error: string | null } {
  const { plant } = useApp();
  const refresh = useRefresh(REFRESH_OEE_MS);
  const [answer, setAnswer] = useState<OeeAnswer | null>(null);
  const [error, setError] = useState<string | null>(null);
  const from = shift?.from ?? null;
  const end = shift?.to ?? null;
  useEffect(() => {
    if (from === null || end === null) return;
    const abort = new AbortController();
    api.oee(asset, from, Math.max(from + 1000, Math.min(end, plant.now())), abort.signal).then(
      (a) => {
        setAnswer(a);
        setError(null);
      },
      (e: unknown) => {
        if (!abort.signal.aborted) setError(e instanceof Error ? e.message : String(e));
      },
    );
    return () => abort.abort();
  }, [asset, from, end, refresh, plant]);
  return useMemo(() => ({ answer, error }), [answer, error]);
}
