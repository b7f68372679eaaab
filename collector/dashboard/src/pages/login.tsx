/** The way in: paste a key, get a cookie. The key is not kept by the page. */

import { useRef, useState } from 'preact/hooks';
import { ApiError, api } from '../api/client.ts';
import { Format } from '../format.ts';
import type { Language } from '../i18n/catalogue.ts';
import type { Translator } from '../i18n/translate.ts';
import { Brand, Preferences } from '../ui/shell.tsx';

export function Login(props: { words: Translator; setLanguage: (l: Language) => void; done: () => void }) {
  const { t } = props.words;
  const input = useRef<HTMLInputElement>(null);
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');

  async function submit(event: Event) {
    event.preventDefault();
    const key = input.current?.value.trim() ?? '';
    if (key === '') {
      setError(t('login.empty'));
      input.current?.focus();
      return;
    }
    setBusy(true);
    setError('');
    try {
      await api.login(key);
      props.done();
    } catch (e) {
      const status = e instanceof ApiError ? e.status : 0;
      if (status === 401 || status === 403 || status === 400) setError(t('login.wrong'));
      else if (status === 429)
        setError(t('login.slow_down', { wait: new Format(props.words.language, 'UTC').duration((e as ApiError).retryAfterS ?? 10) }));
      else if (status === 0) setError(t('login.unreachable'));
      else setError((e as Error).message);
      setBusy(false);
      input.current?.focus();
    }
  }

  return (
    <div class="login">
      <header class="login-top">
        <Preferences words={props.words} setLanguage={props.setLanguage} />
      </header>
      <main id="main">
        <Brand />
        <form onSubmit={submit} class="panel" noValidate>
          <h1>{t('login.title')}</h1>
          <label for="key">{t('login.key')}</label>
          <input
            id="key"
            ref={input}
            {...(shown ? { type: 'text' as const } : { type: 'password' as const })}
            autocomplete="current-password"
            autocapitalize="off"
            spellcheck={false}
            autofocus
            aria-describedby="key-hint key-error"
            aria-invalid={error !== ''}
          />
          <label class="check">
            <input type="checkbox" checked={shown} onChange={(e) => setShown(e.currentTarget.checked)} />
            {t('login.show')}
          </label>
          <p id="key-error" class="form-error" role="alert">
            {error}
          </p>
          <button type="submit" class="primary" disabled={busy}>
            {t(busy ? 'login.busy' : 'login.submit')}
          </button>
          <p id="key-hint" class="hint">
            {t('login.hint')}
          </p>
        </form>
      </main>
    </div>
  );
}
