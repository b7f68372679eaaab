/** States of one machine as spans of time; live changes are added at the end. Times here are milliseconds. */

import type { Span, SpanState } from '../api/types.ts';

export interface TimeSpan {
  from: number;
  to: number;
  state: SpanState;
  reason: string;
}

export function parseSpans(spans: Span[]): TimeSpan[] {
  return spans
    .map((s) => ({ from: Date.parse(s.from), to: Date.parse(s.to), state: s.state, reason: s.stop_reason ?? '' }))
    .filter((s) => s.to > s.from)
    .sort((a, b) => a.from - b.from);
}

/** The machine entered `state` at `at`: what was said about later times no longer holds. */
export function applyChange(spans: TimeSpan[], at: number, state: SpanState, reason: string): TimeSpan[] {
  const last = spans.at(-1);
  if (last && last.state === state && last.reason === reason && at >= last.from) return spans;
  const kept = spans.filter((s) => s.from < at).map((s) => (s.to > at ? { ...s, to: at } : s));
  return [...kept, { from: at, to: at, state, reason }];
}

/** Lets the last span reach to `now`, as a state stands until the next one. */
export function extend(spans: TimeSpan[], now: number): TimeSpan[] {
  const last = spans.at(-1);
  if (!last || last.to >= now) return spans;
  return [...spans.slice(0, -1), { ...last, to: now }];
}

export function clip(spans: TimeSpan[], from: number, to: number): TimeSpan[] {
  const out: TimeSpan[] = [];
  for (const s of spans) {
    const a = Math.max(s.from, from);
    const b = Math.min(s.to, to);
    if (b > a) out.push({ ...s, from: a, to: b });
  }
  return out;
}

export function totals(spans: TimeSpan[]): Map<SpanState, number> {
  const sums = new Map<SpanState, number>();
  for (const s of spans) sums.set(s.state, (sums.get(s.state) ?? 0) + (s.to - s.from));
  return sums;
}
