/* A made-up chat with everything that is in force: the company's rule sets, and the operator's that serve it. */

import { h, replace } from '../../dom.js';
import { t } from '../../i18n.js';
import { simulator } from './simulator.js';

export async function showTry(content, { who, signal }) {
  replace(content, h('div', { class: 'bot-try-all' },
    h('p', { class: 'soft' }, t('bots.try.text')),
    await simulator({ source: () => undefined, who, signal })));
}
