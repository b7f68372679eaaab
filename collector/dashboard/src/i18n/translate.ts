/** Looks texts up and fills them in. Pure. */

import { catalogue, type Key, type Language } from './catalogue.ts';

export type Values = Record<string, string | number>;

type Stem<K> = K extends `${infer S}_one` ? S : never;
/** Keys that come as `_one` and `_other`. */
export type PluralKey = Stem<Key>;

export class Translator {
  private readonly plurals: Intl.PluralRules;

  constructor(readonly language: Language) {
    this.plurals = new Intl.PluralRules(language);
  }

  t = (key: Key, values?: Values): string => fill(catalogue[this.language][key] ?? key, values);

  /** For a count; `shown` is how it is printed. */
  n = (key: PluralKey, count: number, shown: string = String(count), values?: Values): string => {
    const form = this.plurals.select(count) === 'one' ? 'one' : 'other';
    return this.t(`${key}_${form}` as Key, { ...values, n: shown });
  };

  /** A word of a set that may grow before this page does: an unknown one is shown as it came. */
  word = (set: string, value: string | null | undefined): string => {
    if (!value) return '';
    const texts: Record<string, string> = catalogue[this.language];
    return texts[`${set}.${value}`] ?? value.replaceAll('_', ' ');
  };

  /** A text of a set that must be known, else nothing. */
  known = (set: string, value: string): string | null => {
    const texts: Record<string, string> = catalogue[this.language];
    return texts[`${set}.${value}`] ?? null;
  };
}

function fill(text: string, values?: Values): string {
  if (!values) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** The first of the browser's languages that there is a catalogue for. */
export function preferred(languages: readonly string[]): Language {
  for (const language of languages) {
    const base = language.toLowerCase().split('-')[0] ?? '';
    if (base in catalogue) return base as Language;
  }
  return 'en';
}
