/** Lines over time (uPlot), told apart by how they are drawn rather than by colour, with a cursor that the keyboard moves, too. */

import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Format } from '../format.ts';
import type { Period } from '../model/range.ts';
import { useApp } from '../state/context.ts';
import { colours, onColours } from './colours.ts';

export type Stroke = 'main' | 'dash' | 'dot' | 'thin';
const DASHES: Record<Stroke, number[]> = { main: [], dash: [8, 4], dot: [2, 3], thin: [] };

export interface Line {
  name: string;
  values: (number | null)[];
  stroke: Stroke;
}

export interface TimeLinesProps {
  label: string;
  /** Seconds, rising. */
  at: number[];
  /** What a point stands for: its end; without it a point is a moment. */
  to?: number[];
  lines: Line[];
  /** Between these two a band is filled; not among the lines. */
  band?: { low: (number | null)[]; high: (number | null)[]; name: string };
  stepped?: boolean;
  text: (value: number | null) => string;
  axisText: (value: number) => string;
  period: Period;
  /** The scale at least spans these. */
  floor: number;
  ceiling?: number;
  marks?: { at: number; value: number }[];
  height?: number;
  onPick?: (index: number) => void;
}

const Y_AXIS_PX = 56;

export function TimeLines(props: TimeLinesProps) {
  const { words, format } = useApp();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef({ props, format });
  latest.current = { props, format };
  const [index, setIndex] = useState<number | null>(null);
  const height = props.height ?? 210;
  const shape = `${props.lines.map((l) => l.stroke).join()}${props.stepped ?? false}${props.band !== undefined}${height}`;

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const u = new uPlot(options(latest, setIndex, height), data(latest.current.props), element);
    plot.current = u;
    const resize = new ResizeObserver(() => {
      const width = Math.floor(element.clientWidth);
      if (width > 0 && width !== u.width) u.setSize({ width, height });
    });
    resize.observe(element);
    const stop = onColours(() => u.redraw(false));
    return () => {
      stop();
      resize.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [format, shape]);

  useEffect(() => {
    const u = plot.current;
    if (!u) return;
    u.batch(() => {
      u.setData(data(props), true);
      u.setScale('x', { min: props.period.from / 1000, max: props.period.to / 1000 });
    });
  }, [props.at, props.lines, props.band, props.period.from, props.period.to]);

  const onKeyDown = (event: KeyboardEvent) => {
    const u = plot.current;
    const length = props.at.length;
    if (!u || length === 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move !== undefined) {
      const from = u.cursor.idx ?? (move < 0 ? length : -1);
      const next = Math.max(0, Math.min(length - 1, from + move * (event.shiftKey ? 10 : 1)));
      u.setCursor({ left: u.valToPos(u.data[0][next] as number, 'x'), top: 20 });
    } else if (event.key === 'Enter' && u.cursor.idx != null && props.onPick) props.onPick(Math.min(u.cursor.idx, length - 1));
    else return;
    event.preventDefault();
  };

  const shown = index === null ? null : Math.min(index, props.at.length - 1);
  const at = shown === null ? undefined : props.at[shown];
  const end = shown === null ? undefined : props.to?.[shown];
  return (
    <figure class="time-lines">
      <figcaption>
        {props.lines.map((l) => (
          <span class="line-key" key={l.name}>
            <svg viewBox="0 0 26 8" class={`stroke-${l.stroke}`} aria-hidden="true">
              <line x1="0" x2="26" y1="4" y2="4" stroke-dasharray={DASHES[l.stroke].join(' ')} />
            </svg>
            {l.name}
            <b class="num">{shown === null ? '' : props.text(l.values[shown] ?? null)}</b>
          </span>
        ))}
        {props.band && (
          <span class="line-key">
            <i class="swatch band" /> {props.band.name}
            <b class="num">{shown === null ? '' : `${props.text(props.band.low[shown] ?? null)} … ${props.text(props.band.high[shown] ?? null)}`}</b>
          </span>
        )}
        <time class="num sub" aria-live="polite">
          {at === undefined ? '' : `${format.day(at * 1000)} ${format.hourMinute(at * 1000)}${end === undefined ? '' : ` – ${format.hourMinute(end * 1000)}`}`}
        </time>
      </figcaption>
      <div class="plot" ref={host} tabIndex={0} role="img" aria-label={`${props.label} ${words.t('analysis.chart_keys')}`} onKeyDown={onKeyDown} />
      {!props.lines.some((l) => l.values.some((v) => v !== null)) && <p class="chart-none">{words.t('machine.chart_none')}</p>}
    </figure>
  );
}

/** A stepped line goes on to the end of its last point. */
function data(p: TimeLinesProps): uPlot.AlignedData {
  const last = p.to?.at(-1);
  const extend = (values: (number | null)[]) => (p.stepped && last !== undefined ? [...values, values.at(-1) ?? null] : values);
  const at = p.stepped && last !== undefined ? [...p.at, last] : p.to && !p.stepped ? p.at.map((from, i) => (from + (p.to?.[i] ?? from)) / 2) : p.at;
  const band = p.band ? [extend(p.band.low), extend(p.band.high)] : [];
  return [at, ...band, ...p.lines.map((l) => extend(l.values))] as uPlot.AlignedData;
}

type Latest = { current: { props: TimeLinesProps; format: Format } };

function options(latest: Latest, setIndex: (i: number | null) => void, height: number): uPlot.Options {
  const { props, format } = latest.current;
  const font = '12px Inter, -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif';
  const axis = { stroke: () => colours().text, grid: { stroke: () => colours().grid, width: 1 }, ticks: { show: false }, font, gap: 6 };
  const stepped = props.stepped ? { paths: uPlot.paths.stepped!({ align: 1 }) } : {};
  const bands = props.band ? 2 : 0;
  return {
    width: 300,
    height,
    padding: [10, 40, 0, 0],
    legend: { show: false },
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), format.timeZone),
    scales: {
      x: { time: true, auto: false },
      y: {
        range: (_u, min, max) => {
          const { floor, ceiling } = latest.current.props;
          const top = Math.max(ceiling ?? floor, Number.isFinite(max) ? (max as number) * (ceiling !== undefined && (max as number) <= ceiling ? 1 : 1.06) : floor + 1);
          return [Math.min(floor, Number.isFinite(min) ? (min as number) : floor), top > floor ? top : floor + 1];
        },
      },
    },
    axes: [
      {
        ...axis,
        size: 26,
        space: 78,
        values: (_u, splits, _a, _s, incr) =>
          splits.map((s) => {
            const f = latest.current.format;
            const text = f.hourMinute(s * 1000);
            return incr >= 86_400 || text === '00:00' ? f.day(s * 1000) : text;
          }),
      },
      { ...axis, size: Y_AXIS_PX, space: 34, values: (_u, splits) => splits.map((v) => latest.current.props.axisText(v)) },
    ],
    series: [
      {},
      ...Array.from({ length: bands }, () => ({ stroke: 'transparent', width: 0, points: { show: false }, ...stepped })),
      ...props.lines.map((l) => ({
        stroke: () => (l.stroke === 'main' ? colours().line : colours().text),
        width: l.stroke === 'main' ? 2 : 1.2,
        dash: DASHES[l.stroke],
        points: { show: (_u: uPlot, _i: number, i0: number, i1: number) => !props.stepped && i1 - i0 < 60, size: l.stroke === 'main' ? 6 : 4 },
        ...stepped,
      })),
    ],
    bands: bands ? [{ series: [2, 1], fill: () => colours().band }] : [],
    cursor: { drag: { x: false, y: false }, y: false, points: { size: 8 } },
    hooks: {
      setCursor: [(u) => setIndex(u.cursor.idx ?? null)],
      draw: [(u) => drawMarks(u, latest.current.props)],
      ready: [
        (u) => {
          u.over.addEventListener('click', () => {
            const { onPick, at } = latest.current.props;
            if (u.cursor.idx != null && onPick) onPick(Math.min(u.cursor.idx, at.length - 1));
          });
        },
      ],
    },
  };
}

/** Triangles above what is to be seen. */
function drawMarks(u: uPlot, props: TimeLinesProps): void {
  const { ctx } = u;
  const size = 5 * devicePixelRatio;
  ctx.save();
  ctx.fillStyle = colours().amber;
  for (const mark of props.marks ?? []) {
    const x = u.valToPos(mark.at, 'x', true);
    const y = u.valToPos(mark.value, 'y', true) - 3 * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x - size, y - 1.6 * size);
    ctx.lineTo(x + size, y - 1.6 * size);
    ctx.fill();
  }
  ctx.restore();
}
