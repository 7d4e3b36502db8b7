/* Where one writes: text and files; in the sandbox also as the customer.

    composer({chat, who, session, customer, onSent(messageId), onCustomer()})  → element
        session    null where the key may not see sessions
        customer   () → {from, chat?, name} as whom the sandbox can write, or null

    Enter ──► letters, one after the other (sending.js) ──► POST whatsapp/send, byPerson      as the company
                                                       └──► POST …/sandbox/inbound            as the customer
*/

import { h, replace } from '../../dom.js';
import { sentence, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { toast } from '../../parts/toast.js';
import { leftOf, letterOf, send } from './sending.js';
import { nameOf } from './words.js';

const US = 'us';
const CUSTOMER = 'customer';

export function composer(context) {
  const { who, session, customer } = context;
  const canSend = who.can('messages:send');
  const canPlay = session?.engine === 'sandbox' && who.can('sessions') && Boolean(customer());
  if (!canSend && !canPlay) return h('p', { class: 'composer-closed soft small' }, t('conversations.readOnly'));
  const view = new Composer(context, { canSend, canPlay });
  return view.element;
}

class Composer {
  constructor(context, { canSend, canPlay }) {
    this.context = context;
    this.side = canSend ? US : CUSTOMER;
    this.files = [];
    this.waiting = Promise.resolve();
    this.text = h('textarea', {
      name: 'text', rows: '1', maxlength: '65536', 'aria-label': t('conversations.write'), placeholder: t('conversations.write'),
      onkeydown: (event) => this.key(event), onpaste: (event) => this.pasted(event),
    });
    this.note = h('p', { class: 'composer-note small', role: 'status' });
    this.chosen = h('ul', { class: 'composer-files' });
    this.picker = h('input', {
      type: 'file', multiple: true, hidden: true, onchange: () => { this.add(this.picker.files); this.picker.value = ''; },
    });
    this.element = h('form', { class: 'composer', onsubmit: (event) => { event.preventDefault(); this.submit(); } },
      canSend && canPlay && this.sides(), this.note, this.chosen,
      h('div', { class: 'composer-line' },
        this.picker,
        canSend && h('button', { type: 'button', class: 'quiet icon-only', 'aria-label': t('conversations.attach'), title: t('conversations.attach'), onclick: () => this.picker.click() }, icon('clip')),
        this.text,
        h('button', { type: 'submit', class: 'primary icon-only', 'aria-label': t('conversations.send'), title: t('conversations.send') }, icon('send'))));
    this.takeSide(this.side);
    this.drawFiles();
  }

  sides() {
    const option = (side, label) => h('label', {},
      h('input', { type: 'radio', name: 'side', value: side, checked: side === this.side, onchange: () => this.takeSide(side) }), h('span', {}, label));
    return h('fieldset', { class: 'sides' }, h('legend', { class: 'visually-hidden' }, t('conversations.side')),
      option(US, t('conversations.side.us')), option(CUSTOMER, t('conversations.side.customer')));
  }

  takeSide(side) {
    this.side = side;
    this.element.classList.toggle('as-customer', side === CUSTOMER);
    const name = this.context.customer()?.name ?? nameOf(this.context.chat);
    this.note.textContent = side === CUSTOMER ? t('conversations.side.note', { name }) : '';
    this.note.hidden = side !== CUSTOMER;
  }

  key(event) {
    // While an input method composes a word, Enter chooses it.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.submit();
  }

  pasted(event) {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    this.add(event.clipboardData.files);
  }

  add(files) {
    this.files.push(...files);
    this.drawFiles();
    this.text.focus();
  }

  drawFiles() {
    this.chosen.hidden = this.files.length === 0;
    replace(this.chosen, this.files.map((file) => h('li', {}, icon('file'), h('span', {}, file.name),
      h('button', {
        type: 'button', class: 'quiet small icon-only', 'aria-label': t('conversations.unattach', { name: file.name }),
        onclick: () => { this.files = this.files.filter((other) => other !== file); this.drawFiles(); this.text.focus(); },
      }, icon('close')))));
  }

  submit() {
    const text = this.text.value.trim();
    if (!text && this.files.length === 0) return;
    const words = { side: this.side, text, files: this.files };
    // The same once more, after a failure, is the same message: it may have arrived.
    const letter = this.unsent && same(this.unsent.words, words) ? this.unsent.letter : letterOf(words);
    this.unsent = null;
    this.text.value = '';
    this.files = [];
    this.drawFiles();
    this.waiting = this.waiting.then(() => this.deliver(letter));
  }

  async deliver(letter) {
    this.element.setAttribute('aria-busy', 'true');
    try {
      await send(letter, this.context);
    } catch (error) {
      if (error.name !== 'ApiError') throw error;
      toast(sentence(error), { kind: 'bad' });
      this.giveBack(letter);
    } finally {
      this.element.removeAttribute('aria-busy');
    }
  }

  /** What was not sent is there again, unless something else is being written. */
  giveBack(letter) {
    if (this.text.value || this.files.length || !this.element.isConnected) return;
    const { text, files } = leftOf(letter);
    this.unsent = { letter, words: { side: letter.side, text, files } };
    this.text.value = text;
    this.files = files;
    this.drawFiles();
  }
}

function same(one, other) {
  return one.side === other.side && one.text === other.text
    && one.files.length === other.files.length && one.files.every((file, at) => file === other.files[at]);
}
