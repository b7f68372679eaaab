/** An anomaly in one line of words. */

import type { Anomaly } from '../api/types.ts';
import { signalText } from '../format.ts';
import { useApp } from '../state/context.ts';
import { SeverityMark } from './marks.tsx';

/** After this an anomaly is history and loses its colour. */
export const RECENT_MS = 900_000;

export function AnomalyText({ anomaly, now }: { anomaly: Anomaly; now: number }) {
  const { words } = useApp();
  const at = Date.parse(anomaly.event_time);
  const old = now - at > RECENT_MS;
  return (
    <span class={`anomaly ${old ? 'old' : ''}`} title={anomaly.message}>
      <SeverityMark severity={anomaly.severity} old={old} />
      <span class="sr">{words.word('severity', anomaly.severity)}: </span>
      <span class="what">
        {signalText(anomaly.signal)}: {words.word('anomaly', anomaly.kind).toLowerCase()}
      </span>
    </span>
  );
}
