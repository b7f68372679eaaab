/** Every machine, and above them the answer to: is anything wrong, and what does it cost? */

import { useMemo } from 'preact/hooks';
import type { Asset } from '../api/types.ts';
import { signalText } from '../format.ts';
import { list, type Only, type Order } from '../model/listing.ts';
import { countStandings, rollUp, type Standing } from '../model/rollup.ts';
import { momentHref, plantHref } from '../route.ts';
import { useApp, useNow, usePlant } from '../state/context.ts';
import { RECENT_MS } from '../ui/anomaly.tsx';
import { FactorList } from '../ui/kpi.tsx';
import { SeverityMark, StateMark } from '../ui/marks.tsx';
import { MachineTable } from './plant-table.tsx';

const NEWEST_SHOWN = 4;
const STANDINGS: { id: Standing; mark: 'producing' | 'idle' | 'unplanned_stop' | 'stale' }[] = [
  { id: 'stopped', mark: 'unplanned_stop' },
  { id: 'stale', mark: 'stale' },
  { id: 'waiting', mark: 'idle' },
  { id: 'producing', mark: 'producing' },
];

export function PlantPage(props: { filter: string; only: string }) {
  const { words } = useApp();
  const plant = usePlant();
  const { t } = words;
  const assets = plant.assets;
  const only = (['abnormal', 'stopped', 'stale', 'waiting', 'producing'].includes(props.only) ? props.only : '') as Only;
  const order: Order = new URLSearchParams(location.hash.split('?')[1] ?? '').get('order') === 'oee' ? 'oee' : 'place';

  const go = (filter: string, next: Only, nextOrder: Order) => {
    let href = plantHref(filter, next);
    if (nextOrder === 'oee') href += `${href.includes('?') ? '&' : '?'}order=oee`;
    // Replaced, not pushed: typing should not fill the history.
    history.replaceState(null, '', href);
    window.dispatchEvent(new Event('hashchange'));
  };

  const shown = useMemo(
    () => list(assets, props.filter.trim(), only, order, (a) => (a.stale ? t('state.stale') : words.word('state', a.state))),
    [assets, props.filter, only, order, words],
  );

  if (plant.loadedAt === null)
    return (
      <div class="page">
        <h1 tabIndex={-1} class="sr">
          {t('plant.title')}
        </h1>
        <p class="wait">{plant.error ? t('app.failed', { reason: plant.error }) : t('app.loading')}</p>
      </div>
    );

  return (
    <div class="page plant">
      <h1 tabIndex={-1} class="sr">
        {t('plant.title')}
      </h1>
      {assets.length === 0 ? (
        <section class="panel empty">
          <h2>{t('plant.no_machines')}</h2>
          <p>{t('plant.no_machines_hint')}</p>
        </section>
      ) : (
        <>
          <div class="summary">
            <StatusPanel assets={assets} only={only} choose={(o) => go(props.filter, o, order)} />
            <CostPanels assets={assets} />
            <NewestPanel />
          </div>
          <section class="machines" aria-labelledby="machines-title">
            <h2 id="machines-title" class="sr">
              {t('plant.table')}
            </h2>
            <div class="toolbar" role="search">
              <label class="find">
                <span class="sr">{t('plant.filter')}</span>
                <input
                  type="search"
                  value={props.filter}
                  placeholder={t('plant.filter')}
                  title={t('plant.filter_hint')}
                  onInput={(e) => go(e.currentTarget.value, only, order)}
                />
              </label>
              <div class="segments" role="group" aria-label={t('plant.filter')}>
                {(['', 'abnormal'] as Only[]).map((o) => (
                  <button key={o} type="button" aria-pressed={only === o} onClick={() => go(props.filter, o, order)}>
                    {t(o === '' ? 'plant.only.all' : 'plant.only.abnormal')}
                  </button>
                ))}
              </div>
              <label class="order">
                <span class="sr">{t('plant.sort')}</span>
                <select value={order} onChange={(e) => go(props.filter, only, e.currentTarget.value as Order)}>
                  <option value="place">{t('plant.sort.place')}</option>
                  <option value="oee">{t('plant.sort.oee')}</option>
                </select>
              </label>
              <p class="shown" role="status">
                {t('plant.shown', { n: shown.machines, all: assets.length })}
              </p>
            </div>
            {shown.machines === 0 ? (
              <p class="panel empty">
                {t('plant.none_match')}{' '}
                <button type="button" onClick={() => go('', '', order)}>
                  {t('plant.clear')}
                </button>
              </p>
            ) : (
              <MachineTable items={shown.items} flat={order === 'oee'} />
            )}
          </section>
        </>
      )}
    </div>
  );
}

function StatusPanel({ assets, only, choose }: { assets: Asset[]; only: Only; choose: (only: Only) => void }) {
  const { words, format } = useApp();
  const { t, n } = words;
  const counts = countStandings(assets);
  const wrong: string[] = [];
  if (counts.stopped > 0) wrong.push(n('plant.stopped', counts.stopped, format.count(counts.stopped)));
  if (counts.stale > 0) wrong.push(n('plant.stale', counts.stale, format.count(counts.stale)));
  return (
    <section class="panel status" aria-labelledby="status-title">
      <h2 id="status-title">{t('plant.status')}</h2>
      <p class={`verdict ${wrong.length ? 'bad' : ''}`}>
        {wrong.length === 0 ? (
          t('plant.all_well')
        ) : (
          wrong.map((line, i) => (
            <span key={line} class={i === 0 && counts.stopped > 0 ? 'stopped' : 'stale'}>
              <StateMark state={i === 0 && counts.stopped > 0 ? 'unplanned_stop' : 'stale'} />
              {line}
            </span>
          ))
        )}
      </p>
      <div class="counts">
        {STANDINGS.map(({ id, mark }) => (
          <button
            key={id}
            type="button"
            class={`count ${id} ${counts[id] === 0 ? 'zero' : ''}`}
            aria-pressed={only === id}
            title={id === 'waiting' ? t('plant.waiting_hint') : t('plant.only', { what: t(`plant.count.${id}`) })}
            onClick={() => choose(only === id ? '' : id)}
          >
            <span class="num">
              <StateMark state={mark} />
              {format.count(counts[id])}
            </span>
            <span>{t(`plant.count.${id}`)}</span>
          </button>
        ))}
      </div>
    </section>
  );
}

function CostPanels({ assets }: { assets: Asset[] }) {
  const { words, format } = useApp();
  const { t } = words;
  const sums = useMemo(() => rollUp(assets), [assets]);
  const lost = sums.lostStopsS + sums.lostSpeedS + sums.lostRejectsS;
  const parts: { id: 'stops' | 'speed' | 'rejects'; s: number }[] = [
    { id: 'stops', s: sums.lostStopsS },
    { id: 'speed', s: sums.lostSpeedS },
    { id: 'rejects', s: sums.lostRejectsS },
  ];
  const total = Math.max(1e-9, sums.plannedS);
  let x = 0;
  return (
    <>
      <section class="panel oee" aria-labelledby="oee-title">
        <h2 id="oee-title" title={t('plant.oee_hint')}>
          {t('plant.oee')}
        </h2>
        <a class="big num" href={`${plantHref()}?order=oee`} title={t('plant.lowest')} data-testid="plant-oee">
          {format.percent(sums.oee)}
        </a>
        <FactorList ratios={sums} />
        {sums.coverage !== null && sums.coverage < 0.995 && <p class="sub">{t('kpi.coverage', { share: format.percent(sums.coverage, 0) })}</p>}
      </section>
      <section class="panel cost" aria-labelledby="cost-title">
        <h2 id="cost-title">{t('plant.cost')}</h2>
        <p class="big num">
          {sums.machines === 0 ? format.hours(null) : format.hours(lost)} <small>{t('plant.cost_unit')}</small>
        </p>
        <p class="sub">{t('plant.cost_of', { time: format.hours(sums.plannedS) })}</p>
        <svg class="lost-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
          <rect class="track" width="100" height="8" />
          {parts.map(({ id, s }) => {
            const w = (Math.max(0, s) / total) * 100;
            const at = x;
            x += w;
            return <rect key={id} class={id} x={at} width={w} height="8" />;
          })}
        </svg>
        <dl class="lost">
          {parts.map(({ id, s }) => (
            <div key={id}>
              <dt>
                <i class={`swatch ${id}`} />
                {t(`plant.loss.${id}`)}
              </dt>
              <dd class="num">{format.hours(s)}</dd>
            </div>
          ))}
        </dl>
        <p class="sub num" data-testid="plant-parts">
          {t('plant.parts', { produced: format.count(sums.produced), rejected: format.count(sums.rejected) })}
        </p>
      </section>
    </>
  );
}

function NewestPanel() {
  const { words, format } = useApp();
  const plant = usePlant();
  const now = useNow();
  const { t } = words;
  const newest = plant.anomalies.slice(0, NEWEST_SHOWN);
  return (
    <section class="panel newest" aria-labelledby="newest-title">
      <h2 id="newest-title">{t('plant.newest')}</h2>
      {newest.length === 0 ? (
        <p class="sub">{t('plant.no_anomalies')}</p>
      ) : (
        <ul>
          {newest.map((a) => {
            const at = Date.parse(a.event_time);
            const old = now - at > RECENT_MS;
            return (
              <li key={`${a.event_time}${a.asset}${a.signal}${a.detector}`}>
                <a href={momentHref(a.asset, at)} class={old ? 'old' : ''}>
                  <SeverityMark severity={a.severity} old={old} />
                  <span class="body">
                    <strong>{a.asset.split('/').at(-1)}</strong> {signalText(a.signal).toLowerCase()}:{' '}
                    {words.word('anomaly', a.kind).toLowerCase()}
                    <span class="sub">
                      <span class={`severity ${a.severity}`}>{words.word('severity', a.severity)}</span>
                      {' · '}
                      <time class="num" dateTime={a.event_time}>
                        {format.moment(at, now)}
                      </time>
                      {' · '}
                      <span class="num">{t('fleet.ago', { age: format.age(now - at) })}</span>
                    </span>
                  </span>
                </a>
              </li>
            );
          })}
        </ul>
      )}
    </section>
  );
}
