/* The words that rules know, folded below the editor: an example of each, and what it does. */

import { h } from '../../dom.js';
import { t } from '../../i18n.js';

// Each example is one that the server takes, and stands with its explanation as `bots.words.<group>.<name>`.
const WORDS = {
  when: {
    keyword: 'keyword: [hours, open]',
    equals: 'equals: [menu, "1"]',
    contains: 'contains: promo',
    fuzzy: 'fuzzy: delivery',
    regex: "regex: 'order (?P<order>\\d+)'",
    types: 'types: [image, audio]',
    first_contact: 'first_contact: true',
    any: 'any: [{keyword: price}, {equals: "2"}]',
    not: 'keyword: order, not: [{keyword: cancel}]',
    chats: 'keyword: price, chats: mentioned',
    always: 'always: true',
  },
  if: {
    time: 'time: {weekday: [mon, fri], after: 09:00, before: 18:00}',
    vars: 'vars: {plan: gold}',
    tags: 'tags: [vip]',
    session: 'session: [Shop]',
    not: 'not: {time: {holiday: true}}',
  },
  do: {
    reply: 'reply: "Hello, {{ contact.first_name }}!"',
    choices: 'reply: {text: How can I help?, choices: {options: [Sales, Support]}}',
    media: "reply: {text: Our menu, media: {url: 'https://shop.example/menu.pdf', type: document}}",
    wait: 'wait: 5s',
    set: 'set: {city: Recife}',
    tag: 'tag: vip',
    flow: 'flow: booking',
    agent: 'agent: main',
    http: "http: {url: 'https://shop.example/orders/{{ match.order }}'}",
    emit: 'emit: order.asked',
    handoff: 'handoff: true',
    stop: 'stop: true',
  },
};

export function words() {
  return h('details', { class: 'bot-words' }, h('summary', {}, t('bots.words')),
    h('p', { class: 'soft small' }, t('bots.words.text')),
    Object.entries(WORDS).map(([group, examples]) => [
      h('h2', {}, h('code', {}, group), ' ', t(`bots.words.${group}`)),
      h('dl', {}, Object.entries(examples).map(([name, example]) => [
        h('dt', {}, h('code', { 'data-group': group }, example)),
        h('dd', {}, t(`bots.words.${group}.${name}`)),
      ])),
    ]));
}
