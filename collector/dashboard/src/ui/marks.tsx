/** Small shapes that stand beside words: each meaning has its own outline, so that colour is never needed to tell them apart. */

import type { JSX } from 'preact';
import type { Severity, SpanState, Verdict } from '../api/types.ts';
import type { Health } from '../live/link.ts';

function Shape(props: { class: string; children: JSX.Element | JSX.Element[] }) {
  return (
    <svg class={`mark ${props.class}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {props.children}
    </svg>
  );
}

export function StateMark({ state }: { state: SpanState | 'stale' }) {
  const name = `mark-${state}`;
  switch (state) {
    case 'producing':
      return (
        <Shape class={name}>
          <path d="M4 2.5v11l9-5.5z" />
        </Shape>
      );
    case 'idle':
      return (
        <Shape class={name}>
          <circle cx="8" cy="8" r="5" />
        </Shape>
      );
    case 'setup':
      return (
        <Shape class={name}>
          <path d="M8 2.2 13.8 8 8 13.8 2.2 8z" />
        </Shape>
      );
    case 'planned_stop':
      return (
        <Shape class={name}>
          <path d="M4 3h3v10H4zM9 3h3v10H9z" />
        </Shape>
      );
    case 'unplanned_stop':
      return (
        <Shape class={name}>
          <path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" />
          <path class="cut" d="M8 4.2v4.6M8 11.2v.6" />
        </Shape>
      );
    case 'offline':
      return (
        <Shape class={name}>
          <circle cx="8" cy="8" r="6" />
          <path d="M3.8 12.2 12.2 3.8" />
        </Shape>
      );
    default:
      return (
        <Shape class="mark-stale">
          <circle cx="8" cy="8" r="6" />
          <path d="M8 4.6V8l2.4 1.6" />
        </Shape>
      );
  }
}

export function SeverityMark({ severity, old = false }: { severity: Severity; old?: boolean }) {
  const name = `severity-${severity} ${old ? 'old' : ''}`;
  switch (severity) {
    case 'critical':
      return (
        <Shape class={name}>
          <path d="M8 .8 15.2 8 8 15.2.8 8z" />
          <path class="cut" d="M8 4.2v4.6M8 11.2v.6" />
        </Shape>
      );
    case 'high':
      return (
        <Shape class={name}>
          <path d="M8 1.4 15 14H1z" />
          <path class="cut" d="M8 5.8v4M8 11.8v.5" />
        </Shape>
      );
    case 'medium':
      return (
        <Shape class={`hollow ${name}`}>
          <path d="M8 2.4 14.2 13.4H1.8z" />
        </Shape>
      );
    default:
      return (
        <Shape class={`hollow ${name}`}>
          <circle cx="8" cy="8" r="4.6" />
        </Shape>
      );
  }
}

export function HealthMark({ health }: { health: Health }) {
  const name = `health-${health}`;
  switch (health) {
    case 'live':
      return (
        <Shape class={name}>
          <circle cx="8" cy="8" r="4.5" />
        </Shape>
      );
    case 'stale':
      return (
        <Shape class={name}>
          <circle cx="8" cy="8" r="6" />
          <path d="M8 4.6V8l2.4 1.6" />
        </Shape>
      );
    case 'down':
      return (
        <Shape class={name}>
          <path d="m3.5 3.5 9 9M12.5 3.5l-9 9" />
        </Shape>
      );
    default:
      return (
        <Shape class={name}>
          <path d="M2.5 8a5.5 5.5 0 0 1 9.4-3.9M13.5 8a5.5 5.5 0 0 1-9.4 3.9M12 1.5v2.8H9.2M4 14.5v-2.8h2.8" />
        </Shape>
      );
  }
}

/** What the account of a gateway comes to. */
export function VerdictMark({ verdict }: { verdict: Verdict }) {
  const name = `verdict-${verdict}`;
  switch (verdict) {
    case 'balanced':
      return (
        <Shape class={name}>
          <circle cx="8" cy="8" r="6.2" />
          <path d="m5.2 8.2 2 2 3.6-4.2" />
        </Shape>
      );
    case 'in_flight':
      return (
        <Shape class={name}>
          <circle cx="8" cy="8" r="6.2" />
          <path d="M4.9 8h5.8M8.4 5.5 10.9 8l-2.5 2.5" />
        </Shape>
      );
    case 'unaccounted':
      return (
        <Shape class={name}>
          <path d="M8 .8 15.2 8 8 15.2.8 8z" />
          <path class="cut" d="M8 4.2v4.6M8 11.2v.6" />
        </Shape>
      );
    default:
      return (
        <Shape class={name}>
          <circle cx="8" cy="8" r="6.2" />
          <path d="M6.2 6.4a1.9 1.9 0 1 1 2.6 1.9c-.5.2-.8.5-.8 1.1M8 11.6v.1" />
        </Shape>
      );
  }
}

/** For numbers that are not as they should be. */
export function WarnMark() {
  return <SeverityMark severity="high" />;
}

/** The wheel and the race. */
export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <circle cx="16" cy="12.6" r="7" />
      <path d="M16 5.6V2.8M16 19.6v2.8M9 12.6H6.2M23 12.6h2.8M11.05 7.65 9.1 5.7M20.95 7.65l1.95-1.95M11.05 17.55 9.1 19.5M20.95 17.55l1.95 1.95" />
      <circle class="hub" cx="16" cy="12.6" r="2.2" />
      <path class="water" d="M2.5 27c3.4 0 3.4-2.4 6.75-2.4S12.6 27 16 27s3.4-2.4 6.75-2.4S26.1 27 29.5 27" />
    </svg>
  );
}
