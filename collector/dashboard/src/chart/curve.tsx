/** A curve over hours, shares or ages as plain SVG: steps or a line, with a band and a marked place. */

import { useId } from 'preact/hooks';

export interface Curve {
  name: string;
  points: { x: number; y: number }[];
  kind: 'main' | 'dash';
}

export interface CurveProps {
  label: string;
  curves: Curve[];
  band?: { x: number; low: number; high: number }[];
  /** A vertical line with a word. */
  mark?: { x: number; text: string } | null;
  xText: (x: number) => string;
  yText: (y: number) => string;
  xName: string;
  yName: string;
  yMax?: number;
  yMin?: number;
}

const W = 560;
const H = 230;
const LEFT = 58;
const RIGHT = 26;
const TOP = 14;
const BOTTOM = 40;

export function CurveChart(props: CurveProps) {
  const id = useId();
  const all = props.curves.flatMap((c) => c.points);
  const xs = [...all.map((p) => p.x), ...(props.band ?? []).map((b) => b.x), ...(props.mark ? [props.mark.x] : [])];
  const ys = [...all.map((p) => p.y), ...(props.band ?? []).flatMap((b) => [b.low, b.high])];
  const xMax = Math.max(...xs, 1e-9);
  const yMin = props.yMin ?? 0;
  const yMax = props.yMax ?? Math.max(...ys, yMin + 1e-9) * 1.05;
  const x = (v: number) => LEFT + (v / xMax) * (W - LEFT - RIGHT);
  const y = (v: number) => TOP + (1 - (Math.min(yMax, Math.max(yMin, v)) - yMin) / (yMax - yMin)) * (H - TOP - BOTTOM);
  const xTicks = ticks(0, xMax, 6);
  const yTicks = ticks(yMin, yMax, 5);
  const path = (points: { x: number; y: number }[]) => points.map((p, i) => `${i === 0 ? 'M' : 'L'}${x(p.x).toFixed(1)} ${y(p.y).toFixed(1)}`).join('');
  const band = props.band && props.band.length > 1 ? `${path(props.band.map((b) => ({ x: b.x, y: b.high })))}${path(props.band.toReversed().map((b) => ({ x: b.x, y: b.low }))).replace('M', 'L')}Z` : null;
  const markX = props.mark ? x(props.mark.x) : 0;
  return (
    <figure class="curve">
      <figcaption>
        {props.curves.length > 1 &&
          props.curves.map((c) => (
            <span class="line-key" key={c.name}>
              <svg viewBox="0 0 26 8" class={`stroke-${c.kind}`} aria-hidden="true">
                <line x1="0" x2="26" y1="4" y2="4" stroke-dasharray={c.kind === 'dash' ? '8 4' : undefined} />
              </svg>
              {c.name}
            </span>
          ))}
      </figcaption>
      <svg viewBox={`0 0 ${W} ${H}`} role="img" aria-labelledby={id}>
        <title id={id}>{props.label}</title>
        {yTicks.map((v) => (
          <g key={v}>
            <line class="grid" x1={LEFT} x2={W - RIGHT} y1={y(v)} y2={y(v)} />
            <text class="tick" x={LEFT - 6} y={y(v) + 4} text-anchor="end">
              {props.yText(v)}
            </text>
          </g>
        ))}
        {xTicks.map((v) => (
          <text class="tick" key={v} x={x(v)} y={H - BOTTOM + 16} text-anchor="middle">
            {props.xText(v)}
          </text>
        ))}
        <text class="tick" x={W - RIGHT} y={H - 5} text-anchor="end">
          {props.xName}
        </text>
        <text class="tick" x={LEFT} y={H - 5}>
          ↑ {props.yName}
        </text>
        {band && <path class="band" d={band} />}
        {props.curves.map((c) => (
          <path key={c.name} class={`line ${c.kind}`} d={path(c.points)} />
        ))}
        {props.mark && (
          <g class="at">
            <line x1={markX} x2={markX} y1={TOP} y2={H - BOTTOM} />
            <text x={markX + (markX > W * 0.6 ? -6 : 6)} y={TOP + 11} text-anchor={markX > W * 0.6 ? 'end' : 'start'}>
              {props.mark.text}
            </text>
          </g>
        )}
      </svg>
    </figure>
  );
}

/** Round numbers between two, about `n` of them. */
export function ticks(from: number, to: number, n: number): number[] {
  const span = to - from;
  if (!(span > 0) || !Number.isFinite(span)) return [from];
  const rough = span / n;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * size).find((s) => s >= rough) ?? rough;
  const all: number[] = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) all.push(i * step || 0);
  return all;
}
