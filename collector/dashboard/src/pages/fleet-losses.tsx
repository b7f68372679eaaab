/** The newest losses of the fleet: which gateway, which machine, why, how many, from when to when. */

import { useEffect, useRef } from 'preact/hooks';
import type { Gateway, Loss } from '../api/types.ts';
import { signalText, UNKNOWN } from '../format.ts';
import { fleetHref, type FleetRoute } from '../route.ts';
import { useApp } from '../state/context.ts';
import type { LossesKnown } from './fleet.tsx';

const LISTED = 100;

export function LossPanel({ now, route, losses, gateways }: { now: number; route: FleetRoute; losses: LossesKnown | null; gateways: Gateway[] }) {
  const { words, format } = useApp();
  const { t } = words;
  const panel = useRef<HTMLElement>(null);
  const wanted = `${route.gateway} ${route.reason}`;
  const shown = useRef(' ');
  useEffect(() => {
    // Somebody followed a link to certain losses: take them there, the keyboard too.
    if (wanted.trim() !== '' && wanted !== shown.current && !panel.current?.contains(document.activeElement)) {
      panel.current?.scrollIntoView({ block: 'start' });
      panel.current?.querySelector<HTMLElement>('h2')?.focus({ preventScroll: true });
    }
    shown.current = wanted;
  }, [wanted]);
  const all = losses?.items ?? [];
  const items = all.filter((l) => (!route.gateway || l.gateway === route.gateway) && (!route.reason || l.reason === route.reason));
  const reasons = [...new Set([...all.map((l) => l.reason), ...(route.reason ? [route.reason] : [])])].sort();
  const names = [...new Set([...gateways.map((g) => g.gateway), ...(route.gateway ? [route.gateway] : [])])];
  const choose = (change: Partial<FleetRoute>) => {
    history.replaceState(null, '', fleetHref({ ...route, ...change }));
    window.dispatchEvent(new Event('hashchange'));
  };
  const count = (l: Loss) => (l.count === 0 ? t('fleet.unknown_count') : format.count(l.count));
  return (
    <section class="panel loss-list" ref={panel} aria-labelledby="losses-title">
      <header class="panel-head">
        <h2 id="losses-title" tabIndex={-1}>
          {t('fleet.loss_list')}
        </h2>
        <div class="loss-filter">
          <label>
            <span class="sr">{t('table.gateway')}</span>
            <select value={route.gateway} onChange={(e) => choose({ gateway: e.currentTarget.value })}>
              <option value="">{t('losses.every_gateway')}</option>
              {names.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <label>
            <span class="sr">{t('table.why')}</span>
            <select value={route.reason} onChange={(e) => choose({ reason: e.currentTarget.value })}>
              <option value="">{t('losses.every_reason')}</option>
              {reasons.map((reason) => (
                <option key={reason} value={reason}>
                  {words.word('loss', reason)}
                </option>
              ))}
            </select>
          </label>
        </div>
      </header>
      {losses?.error && <p class="note bad">{t('app.failed', { reason: losses.error })}</p>}
      {losses === null && <p class="sub">{t('app.loading')}</p>}
      {losses !== null && items.length === 0 && <p class="sub">{t(all.length === 0 ? 'fleet.loss_list_none' : 'losses.none_match')}</p>}
      {items.length > 0 && (
        <table class="plain loss-table">
          <thead>
            <tr>
              <th>{t('losses.range')}</th>
              <th>{t('table.gateway')}</th>
              <th>{t('table.asset')}</th>
              <th>{t('table.signal')}</th>
              <th>{t('table.why')}</th>
              <th class="right">{t('losses.count')}</th>
              <th>{t('table.detail')}</th>
            </tr>
          </thead>
          <tbody>
            {items.slice(0, LISTED).map((l, i) => {
              const [from, to] = [Date.parse(l.from), Date.parse(l.to)];
              return (
                <tr key={`${l.gateway} ${l.from} ${l.reason} ${i}`}>
                  <td class="num">
                    {format.moment(from, now)} – {format.moment(to, now)} <span class="sub">{format.duration((to - from) / 1000)}</span>
                  </td>
                  <td>{l.gateway}</td>
                  <td title={l.asset ?? ''}>{l.asset?.split('/').at(-1) ?? UNKNOWN}</td>
                  <td>{l.signal ? signalText(l.signal) : UNKNOWN}</td>
                  <td>{words.word('loss', l.reason)}</td>
                  <td class={`right num ${l.count === 0 ? 'unknown' : ''}`}>{count(l)}</td>
                  <td class="wide">{l.detail}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      {(items.length > LISTED || losses?.more) && <p class="sub">{t('losses.more', { n: format.count(Math.min(items.length, LISTED)) })}</p>}
    </section>
  );
}
