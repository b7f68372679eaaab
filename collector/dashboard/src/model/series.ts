/**
 * One signal's buckets in time order, bounded: filled from history, kept up to date by live summaries, handed to a chart as columns.
 *
 * Invariant: bucket starts are strictly increasing multiples of the step; never more than `capacity` buckets (the oldest go).
 */

import type { MetricsAnswer, Summary } from '../api/types.ts';

export interface Columns {
  /** Seconds since the epoch. */
  at: number[];
  min: (number | null)[];
  max: (number | null)[];
  mean: (number | null)[];
}

export class SeriesBuffer {
  private at: Float64Array;
  private count: Float64Array;
  private min: Float64Array;
  private max: Float64Array;
  private mean: Float64Array;
  private head = 0;
  private size = 0;

  constructor(
    readonly stepS: number,
    readonly capacity: number,
  ) {
    this.at = new Float64Array(capacity);
    this.count = new Float64Array(capacity);
    this.min = new Float64Array(capacity);
    this.max = new Float64Array(capacity);
    this.mean = new Float64Array(capacity);
  }

  get length(): number {
    return this.size;
  }

  clear(): void {
    this.head = 0;
    this.size = 0;
  }

  /** Replaces all by the answer of the collector. Points without a mean are holes and not kept. */
  fill(points: MetricsAnswer['points']): void {
    this.clear();
    for (const p of points) {
      const at = Date.parse(p.at) / 1000;
      if (p.mean === null || p.min === null || p.max === null || !Number.isFinite(at)) continue;
      this.merge(at, p.count, p.min, p.max, p.mean);
    }
  }

  /** Adds a live summary to the bucket that its window begins in. */
  push(summary: Pick<Summary, 'start' | 'count' | 'min' | 'max' | 'mean'>): void {
    const at = Date.parse(summary.start) / 1000;
    if (!Number.isFinite(at) || !Number.isFinite(summary.mean) || summary.count <= 0) return;
    this.merge(at, summary.count, summary.min, summary.max, summary.mean);
  }

  /** Buckets that touch `[fromS, toS]`, with a null row wherever data is missing, so that no line is drawn across a hole. */
  columns(fromS: number, toS: number): Columns {
    const out: Columns = { at: [], min: [], max: [], mean: [] };
    let before: number | null = null;
    for (let i = 0; i < this.size; i++) {
      const k = this.index(i);
      const at = this.at[k] as number;
      if (at + this.stepS < fromS || at > toS) continue;
      if (before !== null && at - before > this.stepS * 2.5) {
        out.at.push(before + this.stepS);
        out.min.push(null);
        out.max.push(null);
        out.mean.push(null);
      }
      out.at.push(at);
      out.min.push(this.min[k] as number);
      out.max.push(this.max[k] as number);
      out.mean.push(this.mean[k] as number);
      before = at;
    }
    return out;
  }

  private index(i: number): number {
    return (this.head + i) % this.capacity;
  }

  private merge(atS: number, count: number, min: number, max: number, mean: number): void {
    const at = Math.floor(atS / this.stepS + 1e-9) * this.stepS;
    // Nearly always the last bucket or a new one after it.
    let i = this.size;
    while (i > 0 && (this.at[this.index(i - 1)] as number) > at) i--;
    if (i > 0 && this.at[this.index(i - 1)] === at) {
      const k = this.index(i - 1);
      const had = this.count[k] as number;
      const all = had + count;
      this.min[k] = Math.min(this.min[k] as number, min);
      this.max[k] = Math.max(this.max[k] as number, max);
      this.mean[k] = all > 0 ? ((this.mean[k] as number) * had + mean * count) / all : mean;
      this.count[k] = all;
      return;
    }
    if (this.size === this.capacity) {
      if (i === 0) return; // older than all that is kept
      this.head = (this.head + 1) % this.capacity;
      this.size--;
      i--;
    }
    for (let j = this.size; j > i; j--) this.copy(this.index(j - 1), this.index(j));
    const k = this.index(i);
    this.at[k] = at;
    this.count[k] = count;
    this.min[k] = min;
    this.max[k] = max;
    this.mean[k] = mean;
    this.size++;
  }

  private copy(from: number, to: number): void {
    for (const column of [this.at, this.count, this.min, this.max, this.mean]) column[to] = column[from] as number;
  }
}

/** Bucket length for a period: about 400 buckets, never below the gateway's window. */
export function stepFor(periodS: number): number {
  const steps = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
  return steps.find((s) => periodS / s <= 420) ?? 3600;
}
