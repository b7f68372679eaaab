/**
 * One signal over time: mean as a line, min to max as a band, anomalies as marks, stops as a ribbon along the top.
 * Cursor and zoom are shared by all charts of a page; the readout beside the title follows the cursor.
 */

import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Anomaly } from '../api/types.ts';
import { type Format, signalText, UNKNOWN, unitText } from '../format.ts';
import type { Period } from '../model/range.ts';
import type { Columns } from '../model/series.ts';
import type { TimeSpan } from '../model/timeline.ts';
import { useApp } from '../state/context.ts';
import { colours, onColours } from './colours.ts';

const HEIGHT = 168;
const Y_AXIS_PX = 54;
const SYNC_KEY = 'machine';
const RIBBON_PX = 5;

export interface ChartProps {
  signal: string;
  unit: string;
  columns: Columns;
  period: Period;
  anomalies: Anomaly[];
  spans: TimeSpan[];
  at: number | null;
  stepS: number;
  stale: boolean;
  onZoom(period: Period): void;
  onReset(): void;
  onMoment(at: number): void;
}

export function SignalChart(props: ChartProps) {
  const { words, format } = useApp();
  const { t } = words;
  const host = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  const plot = useRef<uPlot | null>(null);
  // The plot outlives renders; its hooks read what is newest.
  const latest = useRef({ props, format });
  latest.current = { props, format };

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const u = new uPlot(options(latest, readout), toData(latest.current.props.columns), element);
    plot.current = u;
    const resize = new ResizeObserver(() => {
      const width = Math.floor(element.clientWidth);
      if (width > 0 && width !== u.width) u.setSize({ width, height: HEIGHT });
    });
    resize.observe(element);
    const stop = onColours(() => u.redraw(false));
    return () => {
      stop();
      resize.disconnect();
      u.destroy();
      plot.current = null;
    };
    // A new language or zone changes the axes' texts.
  }, [format]);

  useEffect(() => {
    const u = plot.current;
    if (!u) return;
    u.batch(() => {
      u.setData(toData(props.columns), false);
      u.setScale('x', { min: props.period.from / 1000, max: props.period.to / 1000 });
    });
    showReadout(u, latest.current.props, latest.current.format, readout.current);
  }, [props.columns, props.period.from, props.period.to, props.anomalies, props.spans, props.at]);

  const onKeyDown = (event: KeyboardEvent) => {
    const u = plot.current;
    if (!u || event.altKey || event.ctrlKey || event.metaKey) return;
    const length = u.data[0].length;
    const { period } = props;
    switch (event.key) {
      case 'ArrowLeft':
      case 'ArrowRight': {
        if (length === 0) return;
        const by = (event.shiftKey ? 10 : 1) * (event.key === 'ArrowLeft' ? -1 : 1);
        const from = u.cursor.idx ?? (by < 0 ? length : -1);
        const idx = Math.max(0, Math.min(length - 1, from + by));
        u.setCursor({ left: u.valToPos(u.data[0][idx] as number, 'x'), top: u.bbox.height / devicePixelRatio / 2 });
        readout.current?.setAttribute('aria-live', 'polite');
        break;
      }
      case 'Enter':
        if (u.cursor.idx == null) return;
        props.onMoment((u.data[0][u.cursor.idx] as number) * 1000);
        break;
      case '+':
      case '=':
        props.onZoom({ from: period.from + (period.to - period.from) / 4, to: period.to - (period.to - period.from) / 4 });
        break;
      case '-':
        props.onZoom({ from: period.from - (period.to - period.from) / 2, to: period.to + (period.to - period.from) / 2 });
        break;
      case 'Escape':
        u.setCursor({ left: -10, top: -10 });
        break;
      default:
        return;
    }
    event.preventDefault();
  };

  const known = props.columns.mean.filter((v): v is number => v !== null);
  const empty = known.length === 0;
  const unit = unitText(props.unit);
  const label = t('machine.chart_label', {
    signal: signalText(props.signal),
    unit: unit || '1',
    from: format.time(props.period.from),
    to: format.time(props.period.to),
    min: format.value(empty ? null : Math.min(...known)),
    max: format.value(empty ? null : Math.max(...known)),
  });
  return (
    <figure class={`chart ${props.stale ? 'is-stale' : ''}`} data-signal={props.signal}>
      <figcaption>
        <h3>
          {signalText(props.signal)} {unit && <span class="unit">{unit}</span>}
        </h3>
        <span class="readout num" ref={readout} />
      </figcaption>
      <div class="plot" ref={host} tabIndex={0} role="img" aria-label={label} aria-describedby="chart-hint" onKeyDown={onKeyDown} />
      {empty && <p class="chart-none">{t('machine.chart_none')}</p>}
    </figure>
  );
}

function toData(c: Columns): uPlot.AlignedData {
  return [c.at, c.min, c.max, c.mean];
}

type Latest = { current: { props: ChartProps; format: Format } };

function options(latest: Latest, readout: { current: HTMLSpanElement | null }): uPlot.Options {
  const zone = latest.current.format.timeZone;
  const axisFont = '12px Inter, -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif';
  const hidden = { points: { show: false }, stroke: 'transparent', width: 0 };
  return {
    width: 300,
    height: HEIGHT,
    padding: [12, 10, 0, 0],
    legend: { show: false },
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), zone),
    scales: {
      x: { time: true, auto: false },
      y: { range: (_u, min, max) => roomy(min, max) },
    },
    axes: [
      {
        stroke: () => colours().text,
        grid: { stroke: () => colours().grid, width: 1 },
        ticks: { show: false },
        font: axisFont,
        size: 26,
        gap: 6,
        space: 74,
        values: (_u, splits, _axis, _space, incr) =>
          splits.map((s) => {
            const { format } = latest.current;
            const text = incr < 60 ? format.time(s * 1000) : format.hourMinute(s * 1000);
            return text === '00:00' ? format.day(s * 1000) : text;
          }),
      },
      {
        stroke: () => colours().text,
        grid: { stroke: () => colours().grid, width: 1 },
        ticks: { show: false },
        font: axisFont,
        size: Y_AXIS_PX,
        gap: 6,
        space: 26,
        values: (_u, splits) => {
          const [a = 0, b = 1] = splits;
          const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(Math.abs(b - a) || 1) + 1e-9)));
          return splits.map((v) => latest.current.format.value(v, digits));
        },
      },
    ],
    series: [
      {},
      { ...hidden },
      { ...hidden },
      { stroke: () => colours().line, width: 1.5, points: { show: (u, _si, i0, i1) => i1 - i0 < 40 && u.width > 0, size: 4 } },
    ],
    bands: [{ series: [2, 1], fill: () => colours().band }],
    cursor: {
      sync: { key: SYNC_KEY, setSeries: false, scales: ['x', null] },
      drag: { x: true, y: false, setScale: false, dist: 6 },
      y: false,
      points: { size: 7, show: (_u, i) => (i === 3 ? cursorPoint() : document.createElement('i')) },
      bind: {
        dblclick: () => () => {
          latest.current.props.onReset();
          return null;
        },
      },
    },
    hooks: {
      setSelect: [
        (u) => {
          if (u.select.width < 6) return;
          const from = u.posToVal(u.select.left, 'x') * 1000;
          const to = u.posToVal(u.select.left + u.select.width, 'x') * 1000;
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          latest.current.props.onZoom({ from, to });
        },
      ],
      setCursor: [(u) => showReadout(u, latest.current.props, latest.current.format, readout.current)],
      drawClear: [(u) => drawRibbon(u, latest.current.props.spans)],
      draw: [(u) => drawMarks(u, latest.current.props)],
    },
  };
}

/** Room above and below; a flat line gets a scale on which it looks flat. */
function roomy(min: number | null, max: number | null): [number, number] {
  if (min === null || max === null || !Number.isFinite(min) || !Number.isFinite(max)) return [0, 1];
  const size = Math.max(Math.abs(min), Math.abs(max));
  const span = Math.max(max - min, size * 0.01, 1e-6);
  const middle = (min + max) / 2;
  const low = middle - span * 0.6;
  // What never is negative does not get a negative axis.
  return [min >= 0 ? Math.max(0, low) : low, middle + span * 0.66];
}

function cursorPoint(): HTMLElement {
  const dot = document.createElement('div');
  dot.className = 'cursor-dot';
  return dot;
}

function showReadout(u: uPlot, props: ChartProps, format: Format, element: HTMLSpanElement | null): void {
  if (!element) return;
  const idx = u.cursor.idx ?? null;
  const { at, mean, min, max } = props.columns;
  let i = idx;
  if (i === null) {
    i = at.length - 1;
    while (i >= 0 && mean[i] === null) i--;
  }
  const when = at[i];
  if (i < 0 || when === undefined) {
    element.textContent = UNKNOWN;
    return;
  }
  const digits = mean[i] === null || mean[i] === undefined ? 1 : Math.abs(mean[i] as number) >= 10 ? 1 : 2;
  const unit = unitText(props.unit);
  const band = `${format.value(min[i], digits)} … ${format.value(max[i], digits)}`;
  element.replaceChildren(
    part('b', `${format.value(mean[i], digits)}${unit ? `\u202f${unit}` : ''}`),
    part('span', band, 'readout-band'),
    part('time', format.time(when * 1000), idx === null ? '' : 'at-cursor'),
  );
}

function part(tag: string, text: string, className = ''): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
}

/** Stops along the top of the plot: what the machine did explains what its signals show. */
function drawRibbon(u: uPlot, spans: TimeSpan[]): void {
  const { ctx, bbox } = u;
  const c = colours();
  const scale = devicePixelRatio;
  const fill: Partial<Record<TimeSpan['state'], string>> = {
    unplanned_stop: c.red,
    offline: c.offline,
    planned_stop: c.grey,
    setup: c.grey,
    idle: c.grey,
  };
  ctx.save();
  for (const span of spans) {
    const colour = fill[span.state];
    if (!colour) continue;
    const x0 = Math.max(bbox.left, u.valToPos(span.from / 1000, 'x', true));
    const x1 = Math.min(bbox.left + bbox.width, u.valToPos(span.to / 1000, 'x', true));
    if (x1 <= x0) continue;
    ctx.fillStyle = colour;
    ctx.fillRect(x0, bbox.top - (RIBBON_PX + 3) * scale, Math.max(1, x1 - x0), RIBBON_PX * scale);
    if (span.state === 'unplanned_stop' || span.state === 'offline') {
      ctx.globalAlpha = 0.07;
      ctx.fillRect(x0, bbox.top, Math.max(1, x1 - x0), bbox.height);
      ctx.globalAlpha = 1;
    }
  }
  ctx.restore();
}

function drawMarks(u: uPlot, props: ChartProps): void {
  const { ctx, bbox } = u;
  const c = colours();
  const scale = devicePixelRatio;
  ctx.save();
  if (props.at !== null) {
    const x = u.valToPos(props.at / 1000, 'x', true);
    if (x >= bbox.left && x <= bbox.left + bbox.width) {
      ctx.strokeStyle = c.cursor;
      ctx.lineWidth = 1.5 * scale;
      ctx.setLineDash([5 * scale, 3 * scale]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.setLineDash([]);
    }
  }
  for (const a of props.anomalies) {
    const x = u.valToPos(Date.parse(a.event_time) / 1000, 'x', true);
    if (x < bbox.left || x > bbox.left + bbox.width || a.value === null) continue;
    const y = Math.max(bbox.top + 5 * scale, Math.min(bbox.top + bbox.height - 5 * scale, u.valToPos(a.value, 'y', true)));
    const r = 5 * scale;
    const grave = a.severity === 'critical' || a.severity === 'high';
    ctx.beginPath();
    if (a.severity === 'critical') {
      ctx.moveTo(x, y - r * 1.2);
      ctx.lineTo(x + r * 1.2, y);
      ctx.lineTo(x, y + r * 1.2);
      ctx.lineTo(x - r * 1.2, y);
    } else if (a.severity === 'low') {
      ctx.arc(x, y, r * 0.9, 0, Math.PI * 2);
    } else {
      ctx.moveTo(x, y - r * 1.1);
      ctx.lineTo(x + r * 1.1, y + r * 0.9);
      ctx.lineTo(x - r * 1.1, y + r * 0.9);
    }
    ctx.closePath();
    const colour = a.severity === 'critical' ? c.red : a.severity === 'low' ? c.text : c.amber;
    ctx.lineWidth = 1.6 * scale;
    ctx.fillStyle = grave ? colour : c.panel;
    ctx.strokeStyle = grave ? c.panel : colour;
    ctx.fill();
    ctx.stroke();
  }
  ctx.restore();
}
