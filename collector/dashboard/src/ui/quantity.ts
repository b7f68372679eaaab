/** Lengths of life and amounts of energy as text. */

import { lifeParts } from '../model/life.ts';
import { UNKNOWN } from '../format.ts';
import { useApp } from '../state/context.ts';

/** "5 h", "3.4 wk": in the unit that fits. */
export function useLifeText(): (hours: number) => string {
  const { words, format } = useApp();
  return (hours) => {
    const { value, unit } = lifeParts(hours);
    const digits = value >= 9.95 || Math.abs(value - Math.round(value)) < 0.05 ? 0 : 1;
    return `${format.value(value, digits)}\u202f${words.t(`unit.${unit}`)}`;
  };
}

/** "1.2 kWh", "9.1 Wh": a part takes little, a plant much. */
export function useEnergyText(): (kwh: number | null) => string {
  const { format } = useApp();
  return (kwh) => (kwh === null ? UNKNOWN : Math.abs(kwh) < 0.1 && kwh !== 0 ? `${format.value(kwh * 1000, 1)}\u202fWh` : `${format.value(kwh)}\u202fkWh`);
}
