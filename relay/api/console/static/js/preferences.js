/* The two switches that stand on every page: language and colours. */

import { h } from './dom.js';
import { LANGUAGES, language, sentence, setLanguage, t } from './i18n.js';
import { toast } from './parts/toast.js';
import { setTheme, theme } from './theme.js';

const NAMES = { 'pt-BR': 'Português', en: 'English' };

export function languageSwitch() {
  return h('select', {
    class: 'small', 'aria-label': t('shell.language'), value: language(),
    onchange: (event) => choose(event.target),
  }, LANGUAGES.map((code) => h('option', { value: code, lang: code }, NAMES[code])));
}

async function choose(select) {
  try {
    await setLanguage(select.value);
  } catch (error) {
    select.value = language();
    toast(sentence(error), { kind: 'bad' });
  }
}

export function themeSwitch() {
  const names = { system: t('shell.theme.system'), light: t('shell.theme.light'), dark: t('shell.theme.dark') };
  return h('select', {
    class: 'small', 'aria-label': t('shell.theme'), value: theme(),
    onchange: (event) => setTheme(event.target.value),
  }, Object.entries(names).map(([value, text]) => h('option', { value }, text)));
}
