/** One interval: its cause, the rule that decided, what it rests on, and, of a stop, why it was: entered, changed, split or taken back. */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { analysis } from '../api/analysis.ts';
import type { Assigned, Interval } from '../api/oee-types.ts';
import { CauseMark, reasonText } from '../chart/cause-timeline.tsx';
import { fromWall, toWall } from '../model/calendar.ts';
import { isStop, reasonOptions, splitFault } from '../model/losses.ts';
import { machineHref } from '../route.ts';
import { useApp } from '../state/context.ts';
import { useFetch, useMayWrite } from '../state/fetch.ts';

export function StopPanel(props: { asset: string; interval: Interval; close: () => void; changed: () => void }) {
  const { words, format, plant } = useApp();
  const { t } = words;
  const { interval, asset } = props;
  const [from, to] = [Date.parse(interval.from), Date.parse(interval.to)];
  const e = interval.evidence;
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => title.current?.focus({ preventScroll: true }), [asset, from]);
  const facts: [string, string][] = [];
  const fact = (key: string, value: string | null | undefined) => {
    if (value) facts.push([key, value]);
  };
  const at = (time: string | null) => (time === null ? null : format.moment(Date.parse(time), plant.now()));
  fact(t('stop.rule'), words.word('rule', interval.rule));
  fact(t('stop.machine_said'), e.state && `${words.word('state', e.state)}${e.machine_reason ? `: ${e.machine_reason.replaceAll('_', ' ')}` : ''}${e.state_since ? `, ${t('stop.since', { time: at(e.state_since) ?? '' })}` : ''}`);
  fact(t('stop.stood'), e.stood_s === null ? null : format.duration(e.stood_s));
  fact(t('stop.reason'), reasonText(interval));
  fact(t('stop.registered'), e.registered_by && `${e.registered_by}${e.registered_at ? `, ${at(e.registered_at)}` : ''}${e.comment ? `: “${e.comment}”` : ''}`);
  fact(t('stop.products'), e.to_product && `${e.from_product ?? '–'} → ${e.to_product}`);
  if (interval.parts) {
    const p = interval.parts;
    fact(t('kpi.parts'), `${format.count(p.produced)} · ${t('kpi.rejected', { n: format.count(p.rejected) })}${p.slow_s === null ? '' : ` · ${t(p.slow_s < 0 ? 'stop.faster' : 'stop.slower', { time: format.duration(Math.abs(p.slow_s)) })}`}`);
  }
  return (
    <section class="stop-panel" aria-labelledby="stop-title">
      <header class="panel-head">
        <h3 id="stop-title" ref={title} tabIndex={-1}>
          <CauseMark cause={interval.cause} /> {words.word('cause', interval.cause)}
          <span class="num sub">
            {' '}
            {format.time(from)} – {format.time(to)} · {format.duration(interval.seconds)}
          </span>
        </h3>
        <button type="button" class="small" onClick={props.close}>
          {t('explain.close')}
        </button>
      </header>
      <dl class="facts-list">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
        <div>
          <dt>{t('stop.signals')}</dt>
          <dd>
            <a href={machineHref(asset, { preset: null, from: from - 60_000, to: Math.max(to, from + 60_000) + 60_000 })}>{t('stop.raw')}</a>
          </dd>
        </div>
      </dl>
      {isStop(interval) && <ReasonForm key={from} asset={asset} interval={interval} changed={props.changed} />}
    </section>
  );
}

function ReasonForm({ asset, interval, changed }: { asset: string; interval: Interval; changed: () => void }) {
  const { words, format, plant } = useApp();
  const { t } = words;
  const zone = format.timeZone;
  const may = useMayWrite();
  const stop = { from: Date.parse(interval.from), to: Date.parse(interval.to) };
  const catalogue = useFetch('reasons', (s) => analysis.stopReasons(s));
  const said = useFetch(`${asset} ${stop.from}-${stop.to}`, (s) => analysis.assignments(asset, stop, s));
  const options = useMemo(() => reasonOptions(catalogue.value ?? []).filter((r) => !r.retired), [catalogue.value]);
  const now = interval.evidence.registration === null ? '' : (interval.reason ?? '');
  const [reason, setReason] = useState(now);
  const [comment, setComment] = useState('');
  // What was typed; a stop that still goes on moves its end by itself.
  const [typed, setTyped] = useState<{ from?: string; to?: string }>({});
  const part = { from: typed.from ?? toWall(stop.from, zone), to: typed.to ?? toWall(stop.to, zone) };
  const [state, setState] = useState<{ busy: boolean; fault: string; done: Assigned | null }>({ busy: false, fault: '', done: null });
  const whole = part.from === toWall(stop.from, zone) && part.to === toWall(stop.to, zone);

  const save = async (code: string | null) => {
    const range = { from: fromWall(part.from, zone), to: fromWall(part.to, zone) };
    // Inputs know whole seconds; the whole stop is named by its own microseconds.
    const fault = whole ? null : splitFault(stop, range);
    if (fault !== null) return setState({ busy: false, fault: t(`stop.fault.${fault}`), done: null });
    const edge = (name: 'from' | 'to') => (part[name] === toWall(stop[name], zone) ? interval[name] : new Date(range[name] as number).toISOString());
    setState({ busy: true, fault: '', done: null });
    try {
      const done = await analysis.assign({ asset, from: edge('from'), to: edge('to'), reason: code, comment: comment.trim() });
      setState({ busy: false, fault: '', done });
      said.again();
      changed();
    } catch (error) {
      setState({ busy: false, fault: t('stop.refused', { reason: (error as Error).message }), done: null });
    }
  };

  return (
    <div class="reason">
      {!may ? (
        <p class="sub">{t('stop.viewer')}</p>
      ) : (
        <form
          class="entry"
          onSubmit={(event) => {
            event.preventDefault();
            if (reason === '') setState({ busy: false, fault: t('stop.choose'), done: null });
            else void save(reason);
          }}
        >
          <label>
            <span>{t('stop.reason')}</span>
            <select value={reason} onChange={(e) => setReason(e.currentTarget.value)} data-testid="stop-reason">
              <option value="">{t('stop.none')}</option>
              {options.map((o) => (
                <option key={o.code} value={o.code}>
                  {`${'\u2003'.repeat(o.depth)}${o.name}`}
                </option>
              ))}
            </select>
          </label>
          <label class="grow">
            <span>{t('analysis.comment')}</span>
            <input value={comment} maxLength={500} onInput={(e) => setComment(e.currentTarget.value)} />
          </label>
          <label>
            <span>{t('table.from')}</span>
            <input type="datetime-local" step="1" value={part.from} onInput={(e) => setTyped({ ...typed, from: e.currentTarget.value })} />
          </label>
          <label>
            <span>{t('table.to')}</span>
            <input type="datetime-local" step="1" value={part.to} onInput={(e) => setTyped({ ...typed, to: e.currentTarget.value })} />
          </label>
          <span class="buttons">
            <button type="submit" class="primary" disabled={state.busy}>
              {t(whole ? 'stop.save' : 'stop.save_part')}
            </button>
            {interval.evidence.registration !== null && (
              <button type="button" disabled={state.busy} onClick={() => void save(null)}>
                {t('stop.take_back')}
              </button>
            )}
          </span>
        </form>
      )}
      {may && catalogue.value !== null && options.length === 0 && <p class="note">{t('stop.no_catalogue')}</p>}
      {catalogue.error !== null && <p class="note bad">{t('app.failed', { reason: catalogue.error })}</p>}
      {may && <p class="hint">{t('stop.split_hint')}</p>}
      <p class={state.fault ? 'note bad' : 'sr'} role="alert">
        {state.fault}
      </p>
      {state.done && <Done done={state.done} />}
      <h4>{t('stop.said')}</h4>
      {said.value === null || said.value.length === 0 ? (
        <p class="sub">{said.error ?? t(said.value === null ? 'app.loading' : 'stop.said_none')}</p>
      ) : (
        <ul class="said" data-testid="stop-said">
          {said.value
            .toSorted((a, b) => Date.parse(b.at) - Date.parse(a.at))
            .map((a) => (
              <li key={a.id}>
                <span class="num">{format.moment(Date.parse(a.at), plant.now())}</span> <strong>{a.by}</strong>{' '}
                {a.reason === null ? t('stop.took_back') : (options.find((o) => o.code === a.reason)?.name ?? a.reason)}
                {a.comment && ` “${a.comment}”`}
                <span class="sub num">
                  {' '}
                  {format.time(Date.parse(a.from))} – {format.time(Date.parse(a.to))}
                </span>
              </li>
            ))}
        </ul>
      )}
    </div>
  );
}

/** What the entry changed. */
function Done({ done }: { done: Assigned }) {
  const { words, format } = useApp();
  return (
    <div class="note done" role="status">
      <p>{words.t(done.restated.length === 0 ? 'stop.done_none' : 'stop.done')}</p>
      <ul>
        {done.restated.map((r) => (
          <li key={`${r.asset}${r.from}`} class="num">
            {words.t('stop.restated', {
              shift: `${r.shift} ${format.day(Date.parse(r.from))}`,
              revision: r.revision,
              before: format.percent(r.oee_before),
              after: format.percent(r.oee_after),
            })}
          </li>
        ))}
      </ul>
    </div>
  );
}
