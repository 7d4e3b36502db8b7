/* Where one writes: text and files; in the sandbox also as the customer.

    composer({chat, who, session, customer, onSent(messageId), onCustomer(), onEdited(message)})  → {element, reply(message), edit(message), add(files)}
        where one may not write, the element alone
        session    null where the key may not see sessions
        customer   () → {from, chat?, name} as whom the sandbox can write, or null

    Enter ──► letters, one after the other (sending.js) ──► POST whatsapp/send, byPerson      as the company
                                                       └──► POST …/sandbox/inbound            as the customer
*/

import { h, replace } from '../../dom.js';
import { sentence, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { toast } from '../../parts/toast.js';
import { edit } from './actions.js';
import { draftOf } from './drafts.js';
import { leftOf, letterOf, send } from './sending.js';
import { nameOf, previewOf, writerOf } from './words.js';

const US = 'us';
const CUSTOMER = 'customer';

export function composer(context) {
  const { who, session, customer } = context;
  const canSend = who.can('messages:send');
  const canPlay = session?.engine === 'sandbox' && who.can('sessions') && Boolean(customer());
  if (!canSend && !canPlay) return { element: h('p', { class: 'composer-closed soft small' }, t('conversations.readOnly')) };
  return new Composer(context, { canSend, canPlay });
}

class Composer {
  constructor(context, { canSend, canPlay }) {
    this.context = context;
    this.side = canSend ? US : CUSTOMER;
    this.canSend = canSend;
    this.draft = draftOf(context.who, context.chat);
    this.files = this.draft.files;
    this.answered = this.draft.reply;
    this.edited = null;
    this.waiting = Promise.resolve();
    this.text = h('textarea', {
      name: 'text', rows: '1', maxlength: '65536', 'aria-label': t('conversations.write'), placeholder: t('conversations.write'),
      value: this.draft.text, onkeydown: (event) => this.key(event), oninput: () => this.keep(), onpaste: (event) => this.pasted(event),
    });
    this.about = h('div', { class: 'composer-about' });
    this.note = h('p', { class: 'composer-note small', role: 'status' });
    this.chosen = h('ul', { class: 'composer-files' });
    this.picker = h('input', {
      type: 'file', multiple: true, hidden: true, onchange: () => { this.add(this.picker.files); this.picker.value = ''; },
    });
    this.element = h('form', { class: 'composer', onsubmit: (event) => { event.preventDefault(); this.submit(); } },
      canSend && canPlay && this.sides(), this.note, this.about, this.chosen,
      h('div', { class: 'composer-line' },
        this.picker,
        canSend && h('button', { type: 'button', class: 'quiet icon-only', 'aria-label': t('conversations.attach'), title: t('conversations.attach'), onclick: () => this.picker.click() }, icon('clip')),
        this.text,
        h('button', { type: 'submit', class: 'primary icon-only', 'aria-label': t('conversations.send'), title: t('conversations.send') }, icon('send'))));
    this.takeSide(this.side);
    this.drawFiles();
    this.drawAbout();
  }

  /** The next letter answers this message. */
  reply(message) {
    this.stopEditing();
    this.answered = message;
    this.drawAbout();
    this.keep();
    this.text.focus();
  }

  /** What is written next becomes the message's text; what was begun waits meanwhile. */
  edit(message) {
    this.edited = message;
    this.answered = null;
    this.text.value = message.content.text;
    this.drawAbout();
    this.text.focus();
    this.text.setSelectionRange(this.text.value.length, this.text.value.length);
  }

  stopEditing() {
    if (!this.edited) return;
    this.edited = null;
    this.text.value = this.draft.text;
  }

  leaveAbout() {
    this.stopEditing();
    this.answered = null;
    this.drawAbout();
    this.keep();
    this.text.focus();
  }

  drawAbout() {
    const message = this.edited ?? this.answered;
    this.about.hidden = !message;
    this.element.classList.toggle('editing', Boolean(this.edited));
    if (!message) return;
    const title = this.edited ? t('conversations.editing') : t('conversations.replying', { name: writerOf(message, this.context.chat) });
    replace(this.about, icon(this.edited ? 'edit' : 'reply'),
      h('div', { class: 'grow', role: 'status' }, h('strong', {}, title), h('span', {}, previewOf(message))),
      h('button', { type: 'button', class: 'quiet small icon-only', 'aria-label': t('common.cancel'), title: t('common.cancel'), onclick: () => this.leaveAbout() }, icon('close')));
  }

  keep() {
    if (this.edited) return;
    Object.assign(this.draft, { text: this.text.value, files: this.files, reply: this.answered });
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
    if (event.key === 'Escape' && (this.edited || this.answered)) {
      event.preventDefault();
      this.leaveAbout();
      return;
    }
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
    if (!this.canSend) return;
    if (this.edited) this.leaveAbout();
    this.files = [...this.files, ...files];
    this.drawFiles();
    this.text.focus();
  }

  drawFiles() {
    this.keep();
    this.chosen.hidden = this.files.length === 0;
    replace(this.chosen, this.files.map((file) => h('li', {}, icon('file'), h('span', {}, file.name),
      h('button', {
        type: 'button', class: 'quiet small icon-only', 'aria-label': t('conversations.unattach', { name: file.name }),
        onclick: () => { this.files = this.files.filter((other) => other !== file); this.drawFiles(); this.text.focus(); },
      }, icon('close')))));
  }

  submit() {
    const text = this.text.value.trim();
    if (this.edited) {
      if (text) this.saveEdit(text);
      return;
    }
    if (!text && this.files.length === 0) return;
    const words = { side: this.side, text, files: this.files, reply: this.answered };
    // The same once more, after a failure, is the same message: it may have arrived.
    const letter = this.unsent && same(this.unsent.words, words) ? this.unsent.letter : letterOf(words);
    this.unsent = null;
    this.text.value = '';
    this.files = [];
    this.answered = null;
    this.drawAbout();
    this.drawFiles();
    this.waiting = this.waiting.then(() => this.deliver(letter));
  }

  async saveEdit(text) {
    const message = this.edited;
    if (this.saving) return;
    this.saving = true;
    this.element.setAttribute('aria-busy', 'true');
    try {
      if (text !== message.content.text) this.context.onEdited(await edit(message, text));
      if (this.edited === message) this.leaveAbout();
    } catch (error) {
      if (error.name !== 'ApiError') throw error;
      toast(sentence(error), { kind: 'bad' });
    } finally {
      this.saving = false;
      this.element.removeAttribute('aria-busy');
    }
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
    const { text, files, reply } = leftOf(letter);
    this.unsent = { letter, words: { side: letter.side, text, files, reply } };
    this.text.value = text;
    this.files = files;
    this.answered = reply;
    this.drawAbout();
    this.drawFiles();
  }
}

function same(one, other) {
  return one.side === other.side && one.text === other.text && one.reply?.id === other.reply?.id
    && one.files.length === other.files.length && one.files.every((file, at) => file === other.files[at]);
}
