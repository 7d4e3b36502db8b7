/* snippetOf(message, text) → [before, hit, after]: a piece of what the message says, around the words that were searched for.

Case and accents do not matter, as they do not to the server. Where the words cannot be pointed at, hit is ''.
*/

const BEFORE = 32;
const AFTER = 160;

export function snippetOf({ content }, text) {
  const places = placesOf(content);
  for (const place of places) {
    const found = within(place, text);
    if (found) return found;
  }
  return [places[0]?.slice(0, AFTER) ?? '', '', ''];
}

function placesOf({ text, caption, fileName, question, options = [], name, address, phone, transcript }) {
  return [text, caption, fileName, question, ...options, name, address, phone, transcript].filter(Boolean);
}

function within(place, text) {
  const { plain, origins } = folded(place);
  const wanted = folded(text).plain || text;
  const at = plain.indexOf(wanted);
  if (at < 0) return null;
  const from = origins[at];
  const to = origins[at + wanted.length] ?? place.length;
  return [shortened(place.slice(0, from)), place.slice(from, to), [...place.slice(to, to + 2 * AFTER)].slice(0, AFTER).join('')];
}

/** Without case and accents; origins: where in the text each letter of that comes from. */
function folded(text) {
  const origins = [];
  let plain = '';
  let at = 0;
  for (const letter of text) {
    // Up and down again: there are letters with two small forms.
    const bare = letter.normalize('NFD').replace(/[\u0300-\u036f]/g, '').toUpperCase().toLowerCase().normalize('NFC');
    for (let unit = 0; unit < bare.length; unit += 1) origins.push(at);
    plain += bare;
    at += letter.length;
  }
  return { plain, origins };
}

/** The last words of it. */
function shortened(text) {
  const letters = [...text.slice(-3 * BEFORE)];
  if (letters.length <= BEFORE) return text;
  return `…${letters.slice(-BEFORE).join('').replace(/^\S*\s+(?=\S)/, '')}`;
}
