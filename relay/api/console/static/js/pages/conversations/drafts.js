/* draftOf(who, chat) → {text, files, reply}: what was begun in a chat and not sent. It is forgotten with the page, or whoever is signed in. */

import { idOf } from './chats.js';

const drafts = new WeakMap(); // who → chat → draft

export function draftOf(who, chat) {
  if (!drafts.has(who)) drafts.set(who, new Map());
  const own = drafts.get(who);
  if (!own.has(idOf(chat))) own.set(idOf(chat), { text: '', files: [], reply: null });
  return own.get(idOf(chat));
}
