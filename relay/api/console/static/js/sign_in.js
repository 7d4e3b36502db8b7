/* The form for the key. Nothing is kept of it: the server answers with a cookie that scripts cannot read. */

import { api } from './api.js';
import { h, replace } from './dom.js';
import { t } from './i18n.js';
import { icon } from './icons.js';
import { busy, clearErrors, field, showError, values } from './parts/form.js';
import { languageSwitch, themeSwitch } from './preferences.js';

export function showSignIn(app, { signal, expired, onEnter }) {
  const draw = () => {
    document.title = t('shell.signIn.title');
    const form = makeForm(onEnter);
    replace(app, h('div', { class: 'signing-in' },
      h('header', {}, languageSwitch(), themeSwitch()),
      h('main', {}, h('div', { class: 'card' },
        h('div', { class: 'brand' }, h('img', { src: 'console/icon.svg', alt: '' }), 'Relay'),
        h('div', { class: 'stack' },
          h('div', { class: 'stack tight' }, h('h1', {}, t('shell.signIn.heading')), h('p', { class: 'soft' }, t('shell.signIn.text'))),
          expired && h('p', { class: 'alert info', role: 'status' }, icon('info'), h('span', {}, t('shell.signIn.expired'))),
          form,
          whereToFind())))));
    form.elements.key.focus();
  };
  document.addEventListener('relay:language', draw, { signal });
  draw();
}

function makeForm(onEnter) {
  const button = h('button', { type: 'submit', class: 'primary' }, t('shell.signIn.button'));
  const enter = async (event) => {
    event.preventDefault();
    clearErrors(form);
    await busy(button, async () => {
      try {
        const { key, remember } = values(form);
        onEnter(await api.post('console/session', { key: key.trim(), remember }));
      } catch (error) {
        if (error.name !== 'ApiError') throw error;
        showError(form, { ...error, path: 'key' });
      }
    });
  };
  const form = h('form', { class: 'stack', onsubmit: enter },
    field({
      label: t('shell.signIn.key'), name: 'key', type: 'password', required: true, placeholder: 'relay_…',
      autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false',
    }),
    field({ label: t('shell.signIn.remember'), name: 'remember', type: 'check', hint: t('shell.signIn.remember.hint') }),
    button);
  return form;
}

function whereToFind() {
  return h('details', {},
    h('summary', {}, t('shell.signIn.where')),
    h('ul', { class: 'stack tight small soft' },
      h('li', {}, t('shell.signIn.where.first')),
      h('li', {}, t('shell.signIn.where.new'), ' ', h('code', {}, 'relay key create')),
      h('li', {}, t('shell.signIn.where.ask'))));
}
