/* What a page shows in place of its content.

    loading(text)                                   something is on its way
    empty({title, text, action, icon})              there is nothing yet; action: a button or link
    failed(error, retry)                            it could not be had: why, and a button that calls retry()
*/

import { h } from '../dom.js';
import { sentence, t } from '../i18n.js';
import { icon as draw } from '../icons.js';

export function loading(text = t('common.loading')) {
  return h('div', { class: 'state', role: 'status' }, h('span', { class: 'spinner' }), h('p', {}, text));
}

export function empty({ title, text, action, icon }) {
  return h('div', { class: 'state' }, icon && draw(icon), h('h2', {}, title), text && h('p', {}, text), action);
}

export function failed(error, retry) {
  if (error.name !== 'ApiError') console.error(error);
  return h('div', { class: 'state bad', role: 'alert' },
    draw('alert'),
    h('h2', {}, t('common.failed')),
    h('p', {}, sentence(error)),
    retry && h('button', { type: 'button', onclick: retry }, draw('refresh'), t('common.retry')));
}
