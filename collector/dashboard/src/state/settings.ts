/** What this browser remembers: language and colours. Nothing secret: the key never is stored. */

import type { Language } from '../i18n/catalogue.ts';

export type Theme = 'auto' | 'light' | 'dark';

function read(name: string): string | null {
  try {
    return localStorage.getItem(`millrace.${name}`);
  } catch {
    return null;
  }
}

function write(name: string, value: string): void {
  try {
    localStorage.setItem(`millrace.${name}`, value);
  } catch {
    // Private mode: it holds for this page.
  }
}

export function storedLanguage(): Language | null {
  const value = read('language');
  return value === 'en' || value === 'pt' ? value : null;
}

export function storeLanguage(language: Language): void {
  write('language', language);
}

export function storedTheme(): Theme {
  const value = read('theme');
  return value === 'light' || value === 'dark' ? value : 'auto';
}

export function applyTheme(theme: Theme): void {
  write('theme', theme);
  if (theme === 'auto') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
  document.dispatchEvent(new Event('themechange'));
}
