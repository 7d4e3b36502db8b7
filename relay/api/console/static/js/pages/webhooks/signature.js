/* How a receiver checks that a webhook is genuine: in words, and as code to copy. */

import { h, replace } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { copyButton } from '../../parts/copy.js';
import { pageHeader } from '../../parts/header.js';
import { href } from '../../routes.js';
import { EXAMPLES } from './examples.js';

export function showSignature(container) {
  replace(container,
    h('a', { class: 'webhook-back', href: href('webhooks') }, icon('left'), t('webhooks.back')),
    pageHeader({ title: t('webhooks.signature'), text: t('webhooks.signature.text') }),
    h('div', { class: 'stack' },
      h('div', { class: 'card stack' },
        h('h2', {}, t('webhooks.signature.how')),
        h('ol', { class: 'webhook-steps' },
          h('li', {}, h('p', {}, t('webhooks.signature.headers'), ' ',
            ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [h('code', {}, name), ' ']))),
          h('li', {}, h('div', { class: 'stack tight' }, h('p', {}, t('webhooks.signature.compute')),
            h('pre', { tabindex: '0', 'aria-label': t('webhooks.signature.formula') }, h('code', {}, 'v1,base64(HMAC-SHA256(key, id + "." + timestamp + "." + body))')))),
          h('li', {}, h('p', {}, t('webhooks.signature.compare'))),
          h('li', {}, h('p', {}, t('webhooks.signature.twice'))))),
      h('h2', {}, t('webhooks.signature.code')),
      h('p', { class: 'soft' }, t('webhooks.signature.code.text'), ' ', h('code', {}, 'WEBHOOK_SECRET')),
      examples()));
}

/** One language at a time, chosen by radio buttons: all of them are in the page, so that they can be found and copied. */
function examples() {
  const panels = EXAMPLES.map(({ name, code, needs }) => h('div', { class: 'webhook-example', 'data-example': name },
    h('div', { class: 'row apart' },
      h('p', { class: 'soft small' }, needs ? [t('webhooks.signature.needs'), ' ', h('code', {}, needs)] : t('webhooks.signature.needsNothing')),
      copyButton(code, t('webhooks.signature.copy', { name }))),
    h('pre', { tabindex: '0', 'aria-label': name }, h('code', {}, code))));
  const choose = (name) => panels.forEach((panel) => { panel.hidden = panel.dataset.example !== name; });
  choose(EXAMPLES[0].name);
  return h('div', { class: 'card stack' },
    h('fieldset', { class: 'webhook-languages' },
      h('legend', { class: 'visually-hidden' }, t('webhooks.signature.language')),
      EXAMPLES.map(({ name }, place) => h('label', {},
        h('input', { type: 'radio', name: 'example', value: name, checked: place === 0, onchange: () => choose(name) }), name))),
    panels);
}
