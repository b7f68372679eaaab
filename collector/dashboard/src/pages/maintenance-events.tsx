/** What was reported of a machine: failures, repairs, replaced components, work orders; and the form to report one. Events never change. */

import { useRef, useState } from 'preact/hooks';
import { analysis } from '../api/analysis.ts';
import type { EventBody } from '../api/maintenance-types.ts';
import { fromWall, toWall } from '../model/calendar.ts';
import type { Period } from '../model/range.ts';
import { useApp } from '../state/context.ts';
import { useFetch, useMayWrite } from '../state/fetch.ts';
import { Waiting } from '../ui/behind.tsx';

const KINDS = ['failure', 'repair_start', 'repair_end', 'component_replaced', 'work_order_start', 'work_order_end', 'comment'] as const;
type Kind = (typeof KINDS)[number];
const LISTED = 25;
const OWN = new Set(['id', 'kind', 'asset', 'at', 'component', 'work_order', 'work_order_kind', 'comment', 'text', 'by', 'event', 'reported_at', 'duplicate']);

export function Events({ asset, period, changed }: { asset: string; period: Period; changed: () => void }) {
  const { words, format, plant } = useApp();
  const { t } = words;
  const may = useMayWrite();
  const events = useFetch(`events ${asset}`, (s) => analysis.events(asset, { from: period.from, to: plant.now() + 60_000 }, s));
  const items = (events.value ?? []).toSorted((a, b) => Date.parse(b.at ?? '') - Date.parse(a.at ?? ''));
  return (
    <>
      <h3 class="list-title">{t('events.title')}</h3>
      {may ? (
        <Report
          asset={asset}
          done={() => {
            events.again();
            changed();
          }}
        />
      ) : (
        <p class="sub">{t('events.viewer')}</p>
      )}
      {events.value === null ? (
        <Waiting error={events.error} />
      ) : items.length === 0 ? (
        <p class="sub">{t('events.none')}</p>
      ) : (
        <div class="scroll" tabIndex={0} role="group" aria-label={t('events.title')}>
          <table class="plain" data-testid="events">
            <thead>
              <tr>
                <th>{t('table.time')}</th>
                <th>{t('table.kind')}</th>
                <th>{t('maint.component')}</th>
                <th>{t('events.order')}</th>
                <th>{t('table.detail')}</th>
              </tr>
            </thead>
            <tbody>
              {items.slice(0, LISTED).map((e, i) => (
                <tr key={e.id ?? i}>
                  <td class="num">{e.at ? format.moment(Date.parse(e.at), plant.now()) : ''}</td>
                  <td>{words.word('event', e.kind)}</td>
                  <td>{e.component?.replaceAll('_', ' ')}</td>
                  <td>
                    {e.work_order} {e.work_order_kind && <span class="sub">{words.word('order', e.work_order_kind)}</span>}
                  </td>
                  <td class="wide">{detailText(e)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {items.length > LISTED && <p class="sub">{t('analysis.cut', { n: LISTED, all: items.length })}</p>}
        </div>
      )}
    </>
  );
}

function detailText(event: EventBody): string {
  const rest = Object.entries(event).filter(([k, v]) => !OWN.has(k) && (typeof v === 'string' || typeof v === 'number' || typeof v === 'boolean'));
  return [event.comment ?? event.text, event.by, ...rest.map(([k, v]) => `${k.replaceAll('_', ' ')}: ${String(v)}`)].filter(Boolean).join(' · ');
}

/** Sent twice, an event counts once: its id is made before it is sent the first time. */
function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `web-${[...bytes].map((b) => b.toString(16).padStart(2, '0')).join('')}`;
}

function Report({ asset, done }: { asset: string; done: () => void }) {
  const { words, format, plant } = useApp();
  const { t } = words;
  const zone = format.timeZone;
  const [kind, setKind] = useState<Kind>('failure');
  const [at, setAt] = useState('');
  const [fields, setFields] = useState({ component: '', work_order: '', work_order_kind: 'corrective', comment: '' });
  /** As it was sent first: sent again, it is the same event. What is changed in the form makes another one. */
  const sent = useRef<{ said: string; event: EventBody } | null>(null);
  const [said, setSaid] = useState<{ text: string; bad: boolean }>({ text: '', bad: false });
  const set = (name: keyof typeof fields) => (e: { currentTarget: { value: string } }) => setFields({ ...fields, [name]: e.currentTarget.value });
  const hasComponent = kind === 'failure' || kind === 'component_replaced' || kind === 'work_order_start';
  const hasOrder = kind === 'work_order_start' || kind === 'work_order_end';

  const submit = async () => {
    const time = at === '' ? plant.now() : fromWall(at, zone);
    const fault =
      time === null ? 'time' : kind === 'component_replaced' && fields.component.trim() === '' ? 'component' : hasOrder && fields.work_order.trim() === '' ? 'order' : kind === 'comment' && fields.comment.trim() === '' ? 'comment' : null;
    if (fault !== null || time === null) return setSaid({ text: t(`events.fault.${fault ?? 'time'}`), bad: true });
    const event: EventBody = { id: newId(), kind, asset, at: new Date(time).toISOString() };
    if (hasComponent && fields.component.trim()) event.component = fields.component.trim().replaceAll(' ', '_');
    if (hasOrder) event.work_order = fields.work_order.trim();
    if (kind === 'work_order_start') event.work_order_kind = fields.work_order_kind;
    if (fields.comment.trim()) event.comment = fields.comment.trim();
    const said = JSON.stringify([kind, asset, at, fields]);
    if (sent.current?.said !== said) sent.current = { said, event };
    try {
      await analysis.report(sent.current.event);
      sent.current = null;
      setSaid({ text: t('events.saved', { what: words.word('event', kind) }), bad: false });
      setAt('');
      setFields({ ...fields, comment: '' });
      done();
    } catch (error) {
      setSaid({ text: t('analysis.refused', { reason: (error as Error).message }), bad: true });
    }
  };
  return (
    <form
      class="entry"
      data-testid="report-event"
      onSubmit={(e) => {
        e.preventDefault();
        void submit();
      }}
    >
      <label>
        <span>{t('events.what')}</span>
        <select value={kind} onChange={(e) => setKind(e.currentTarget.value as Kind)}>
          {KINDS.map((k) => (
            <option key={k} value={k}>
              {words.word('event', k)}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span>{t('events.when')}</span>
        <input type="datetime-local" step="1" value={at} max={toWall(plant.now() + 60_000, zone)} onInput={(e) => setAt(e.currentTarget.value)} />
      </label>
      {hasComponent && (
        <label>
          <span>{t('maint.component')}</span>
          <input value={fields.component} maxLength={64} placeholder="spindle_bearing" onInput={set('component')} />
        </label>
      )}
      {hasOrder && (
        <label>
          <span>{t('events.order')}</span>
          <input value={fields.work_order} maxLength={64} onInput={set('work_order')} />
        </label>
      )}
      {kind === 'work_order_start' && (
        <label>
          <span>{t('events.order_kind')}</span>
          <select value={fields.work_order_kind} onChange={set('work_order_kind')}>
            <option value="corrective">{t('order.corrective')}</option>
            <option value="preventive">{t('order.preventive')}</option>
          </select>
        </label>
      )}
      <label class="grow">
        <span>{t('analysis.comment')}</span>
        <input value={fields.comment} maxLength={500} onInput={set('comment')} />
      </label>
      <span class="buttons">
        <button type="submit" class="primary">
          {t('events.report')}
        </button>
      </span>
      <p class={said.text ? `note ${said.bad ? 'bad' : ''}` : 'sr'} role="status">
        {said.text}
      </p>
    </form>
  );
}
