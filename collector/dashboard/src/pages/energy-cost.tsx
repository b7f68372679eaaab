/** What the energy cost by the tariff, the form that sets one, and what switching off while standing would save. */

import { useState } from 'preact/hooks';
import { analysis } from '../api/analysis.ts';
import type { Band, Cost, EnergyAnswer, Tariff } from '../api/energy-types.ts';
import { switchOff } from '../model/power.ts';
import { type DaySet, daysOf, emptyTariff, readNumber, setOf, tariffFault } from '../model/tariff.ts';
import { useApp } from '../state/context.ts';
import { useFetch, useMayWrite } from '../state/fetch.ts';
import { Behind, Waiting } from '../ui/behind.tsx';

export function CostPanel({ cost, kwh, changed }: { cost: Cost | null; kwh: number; changed: () => void }) {
  const { words, format } = useApp();
  const { t } = words;
  const admin = useMayWrite('admin');
  const tariff = useFetch('tariff', (s) => analysis.tariff(s));
  const [open, setOpen] = useState(false);
  const money = (v: number) => format.value(v, 2);
  return (
    <section class="panel" aria-labelledby="cost-title">
      <header class="panel-head">
        <h2 id="cost-title">{t('energy.cost_title')}</h2>
        {admin && tariff.error === null && (
          <button type="button" class="small" aria-expanded={open} onClick={() => setOpen(!open)}>
            {t(tariff.value ? 'tariff.change' : 'tariff.enter')}
          </button>
        )}
      </header>
      {cost === null ? (
        <p>
          {t('energy.no_data_cost')} <span class="sub">{t(tariff.value ? 'energy.cost_none' : admin ? 'tariff.none_admin' : 'tariff.none')}</span>
        </p>
      ) : (
        <>
          <p class="cost-sum">
            <strong class="big num">{money(cost.total)}</strong> <span class="sub">{t('energy.currency')}</span>
          </p>
          <dl class="facts-list">
            <div>
              <dt>{t('energy.cost_energy')}</dt>
              <dd class="num">
                {money(cost.energy)}
                {kwh > 0 && <span class="sub"> {t('energy.per_kwh', { n: format.value(cost.energy / kwh, 4) })}</span>}
              </dd>
            </div>
            <div>
              <dt>{t('energy.cost_demand')}</dt>
              <dd class="num">
                {money(cost.demand)}{' '}
                {cost.by_month.map((m) => (
                  <span class="sub" key={m.month}>
                    {m.month}: {format.value(m.peak_kw)}
                    {'\u202f'}kW, {format.dateTime(Date.parse(m.peak_at))}
                    {!m.whole && ` (${t('energy.month_part')})`}{' '}
                  </span>
                ))}
              </dd>
            </div>
            <div>
              <dt>CO₂</dt>
              <dd class="num">
                {cost.co2_kg === null ? t('energy.co2_none') : `${format.value(cost.co2_kg, 1)}\u202fkg`}
                {cost.co2_unknown_kwh > 0 && <span class="sub"> {t('energy.co2_part', { kwh: format.value(cost.co2_unknown_kwh, 1) })}</span>}
              </dd>
            </div>
          </dl>
          <Behind
            title={t('energy.cost_title')}
            columns={[{ name: t('tariff.band') }, { name: t('tariff.price'), right: true }, { name: 'kWh', right: true }, { name: t('energy.cost'), right: true }]}
            rows={() => cost.by_band.map((b) => [b.name ?? t('tariff.base_band'), format.value(b.price_per_kwh, 4), format.value(b.kwh, 2), money(b.cost)])}
          />
        </>
      )}
      {tariff.error !== null && <Waiting error={tariff.error} />}
      {open && (
        <TariffForm
          tariff={tariff.value ?? emptyTariff()}
          saved={() => {
            tariff.again();
            changed();
          }}
        />
      )}
    </section>
  );
}

function TariffForm({ tariff, saved }: { tariff: Tariff; saved: () => void }) {
  const { words } = useApp();
  const { t } = words;
  const [base, setBase] = useState(tariff.base_price_per_kwh === 0 ? '' : String(tariff.base_price_per_kwh));
  const [demand, setDemand] = useState(tariff.price_per_kw_month === 0 ? '' : String(tariff.price_per_kw_month));
  const [co2, setCo2] = useState(tariff.co2_kg_per_kwh === null ? '' : String(tariff.co2_kg_per_kwh));
  const [bands, setBands] = useState(() => tariff.bands.map((b) => ({ ...b, price: String(b.price_per_kwh) })));
  const [said, setSaid] = useState<{ text: string; bad: boolean }>({ text: '', bad: false });
  const set = (i: number, change: Partial<Band & { price: string }>) => setBands(bands.map((b, j) => (j === i ? { ...b, ...change } : b)));
  const save = async () => {
    const next: Tariff = {
      ...tariff,
      base_price_per_kwh: readNumber(base) ?? Number.NaN,
      price_per_kw_month: demand.trim() === '' ? 0 : (readNumber(demand) ?? Number.NaN),
      co2_kg_per_kwh: co2.trim() === '' ? null : (readNumber(co2) ?? Number.NaN),
      bands: bands.map(({ price, ...b }) => ({ ...b, price_per_kwh: readNumber(price) ?? Number.NaN })),
    };
    const fault = tariffFault(next);
    if (fault !== null) return setSaid({ text: t(`tariff.fault.${fault}`), bad: true });
    try {
      await analysis.setTariff(next);
      setSaid({ text: t('analysis.saved'), bad: false });
      saved();
    } catch (error) {
      setSaid({ text: t('analysis.refused', { reason: (error as Error).message }), bad: true });
    }
  };
  return (
    <form
      class="entry tariff"
      onSubmit={(e) => {
        e.preventDefault();
        void save();
      }}
    >
      <label>
        <span>{t('tariff.base')}</span>
        <input inputMode="decimal" required value={base} placeholder="0.24" onInput={(e) => setBase(e.currentTarget.value)} />
      </label>
      <label>
        <span>{t('tariff.demand')}</span>
        <input inputMode="decimal" value={demand} placeholder="0" onInput={(e) => setDemand(e.currentTarget.value)} />
      </label>
      <label>
        <span>{t('tariff.co2')}</span>
        <input inputMode="decimal" value={co2} placeholder="0.35" onInput={(e) => setCo2(e.currentTarget.value)} />
      </label>
      {bands.map((b, i) => (
        <fieldset key={i}>
          <legend>{t('tariff.band')}</legend>
          <label>
            <span>{t('tariff.name')}</span>
            <input value={b.name} maxLength={40} onInput={(e) => set(i, { name: e.currentTarget.value })} />
          </label>
          <label>
            <span>{t('tariff.days')}</span>
            <select value={setOf(b.weekdays)} onChange={(e) => set(i, { weekdays: daysOf(e.currentTarget.value as DaySet, b.weekdays) })}>
              {(['all', 'work', 'weekend', ...(setOf(b.weekdays) === 'own' ? ['own'] : [])] as DaySet[]).map((d) => (
                <option key={d} value={d}>
                  {t(`tariff.days.${d}`)}
                </option>
              ))}
            </select>
          </label>
          <label>
            <span>{t('table.from')}</span>
            <input type="time" step="60" value={b.from.slice(0, 5)} onInput={(e) => set(i, { from: `${e.currentTarget.value}:00` })} />
          </label>
          <label>
            <span>{t('table.to')}</span>
            <input type="time" step="60" value={b.to.slice(0, 5)} onInput={(e) => set(i, { to: `${e.currentTarget.value}:00` })} />
          </label>
          <label>
            <span>{t('tariff.price')}</span>
            <input inputMode="decimal" value={b.price} onInput={(e) => set(i, { price: e.currentTarget.value })} />
          </label>
          <button type="button" class="small" onClick={() => setBands(bands.filter((_, j) => j !== i))}>
            {t('tariff.remove')}
          </button>
        </fieldset>
      ))}
      <span class="buttons">
        <button type="button" onClick={() => setBands([...bands, { name: t('tariff.peak'), weekdays: daysOf('work', []), from: '06:00:00', to: '22:00:00', price_per_kwh: 0, price: base }])}>
          {t('tariff.add')}
        </button>
        <button type="submit" class="primary">
          {t('analysis.save')}
        </button>
      </span>
      <p class="hint">{t('tariff.hint')}</p>
      <p class={said.text ? `note ${said.bad ? 'bad' : ''}` : 'sr'} role="status">
        {said.text}
      </p>
    </form>
  );
}

export function SwitchOffPanel({ machines }: { machines: EnergyAnswer['machines'] }) {
  const { words, format } = useApp();
  const { t } = words;
  const saving = switchOff(machines);
  if (saving === null) return null;
  return (
    <section class="panel" aria-labelledby="off-title">
      <h2 id="off-title">{t('off.title')}</h2>
      <p class="cost-sum">
        <strong class="big num">{format.value(saving.saved_kwh, 1)}</strong> kWh{' '}
        {saving.saved_kwh_per_week !== null && <span class="sub num">{t('off.week', { kwh: format.value(saving.saved_kwh_per_week, 1) })}</span>}
      </p>
      <p class="sub num">
        {words.n('off.times', saving.times, format.count(saving.times))} · {format.duration(saving.off_s)}
        {saving.saved_cost !== null && ` · ${t('off.cost', { n: format.value(saving.saved_cost, 2) })}`}
        {saving.saved_co2_kg !== null && ` · ${format.value(saving.saved_co2_kg, 1)}\u202fkg CO₂`}
      </p>
      <p class="hint">{t('off.hint')}</p>
    </section>
  );
}
