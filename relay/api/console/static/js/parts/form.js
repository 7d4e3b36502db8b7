/* Fields with labels, hints and errors where they belong.

    field({label, name, type, value, hint, path, options, …attributes})  → element
        type: text (default), password, number, search, url, tel, date, datetime-local, file, textarea,
              select {options: [[value, text], …]}, check (a tick box), choice {options: [[value, text, hint], …]} (radio buttons)
        path: the API's name of it, for errors (the name, unless said); others are attributes of the input
    values(form)                → {name: value}: numbers as numbers (empty: null), ticks as booleans, texts trimmed (passwords as they are)
    showError(form, error)      → puts an ApiError at its field, or at the form's top; focuses it
    clearErrors(form)
    busy(button, work)          → runs work() with the button busy and disabled meanwhile
*/

import { h } from '../dom.js';
import { sentence } from '../i18n.js';
import { icon } from '../icons.js';

let made = 0;

export function field({ label, name, type = 'text', value, hint, path = name, options = [], ...attributes }) {
  const id = `f${++made}`;
  const told = { id: `${id}-hint`, error: `${id}-error` };
  const given = { id, name, 'aria-describedby': `${hint ? told.id : ''} ${told.error}`.trim(), ...attributes };
  const notes = [
    hint && h('p', { class: 'hint', id: told.id }, hint),
    h('p', { class: 'error', id: told.error, hidden: true }),
  ];
  if (type === 'choice') return choice({ label, name, value, options, path, notes });
  if (type === 'check') {
    const box = h('input', { type: 'checkbox', checked: Boolean(value), ...given });
    return h('div', { class: 'field', 'data-path': path },
      h('div', { class: 'check' }, box, h('div', {}, h('label', { for: id }, label), notes)));
  }
  return h('div', { class: 'field', 'data-path': path }, h('label', { for: id }, label), input(type, given, value, options), notes);
}

function input(type, given, value, options) {
  if (type === 'textarea') return h('textarea', { ...given, value: value ?? '' });
  if (type === 'select') {
    return h('select', { ...given, value: value ?? options[0]?.[0] ?? '' }, options.map(([worth, text]) => h('option', { value: worth }, text)));
  }
  return h('input', { type, ...given, ...(type === 'file' ? {} : { value: value ?? '' }) });
}

function choice({ label, name, value, options, path, notes }) {
  return h('fieldset', { class: 'field', 'data-path': path },
    h('legend', {}, label),
    h('div', { class: 'choices' }, options.map(([worth, text, hint]) => h('label', { class: 'choice' },
      h('input', { type: 'radio', name, value: worth, checked: worth === value }),
      h('span', {}, h('strong', {}, text), hint && h('span', { class: 'soft small' }, hint))))),
    notes);
}

export function values(form) {
  const found = {};
  for (const node of form.elements) {
    if (!node.name || node.disabled) continue;
    if (node.type === 'radio') {
      if (node.checked) found[node.name] = node.value;
    } else {
      found[node.name] = valueOf(node);
    }
  }
  return found;
}

function valueOf(node) {
  if (node.type === 'checkbox') return node.checked;
  if (node.type === 'number') return node.value === '' ? null : Number(node.value);
  if (node.type === 'file') return node.files[0] ?? null;
  return node.type === 'password' ? node.value : node.value.trim();
}

export function showError(form, error) {
  clearErrors(form);
  const words = sentence(error);
  const place = error.path && form.querySelector(`.field[data-path="${CSS.escape(error.path)}"]`);
  if (!place) {
    const alert = h('div', { class: 'alert', role: 'alert', tabindex: '-1' }, icon('alert'), h('span', {}, words));
    (form.querySelector('.dialog-body') ?? form).prepend(alert);
    alert.focus();
    return;
  }
  const node = place.querySelector('input, select, textarea');
  node.setAttribute('aria-invalid', 'true');
  Object.assign(place.querySelector('.error'), { hidden: false, textContent: words });
  node.focus();
}

export function clearErrors(form) {
  for (const alert of form.querySelectorAll('.alert[role="alert"]')) alert.remove();
  for (const node of form.querySelectorAll('[aria-invalid]')) node.removeAttribute('aria-invalid');
  for (const note of form.querySelectorAll('.field .error')) Object.assign(note, { hidden: true, textContent: '' });
}

export async function busy(button, work) {
  if (button.getAttribute('aria-busy') === 'true') return undefined;
  button.setAttribute('aria-busy', 'true');
  button.setAttribute('aria-disabled', 'true');
  try {
    return await work();
  } finally {
    button.removeAttribute('aria-busy');
    button.removeAttribute('aria-disabled');
  }
}
