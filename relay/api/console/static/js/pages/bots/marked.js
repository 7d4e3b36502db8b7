/* A sentence of the server's, in which `words of YAML` are set as such. */

import { h } from '../../dom.js';

/** → texts and elements, for h(). */
export function marked(sentence) {
  // A backtick alone, or one before a space, is a character like any other.
  return sentence.split(/`([^`\s][^`]*)`/).map((part, place) => (place % 2 ? h('code', {}, part) : part));
}
