/* Addresses inside the console: #/sessions/ses_1?tab=limits

    href('sessions', id, {tab: 'limits'})  → '#/sessions/ses_1?tab=limits', for <a href>
    go('sessions', id)                     goes there
    here() → {name, id, rest, query}       name: the page; id: the part after it or null; rest: all parts after the name; query: an object
*/

export function href(name, ...parts) {
  const query = parts.length && typeof parts.at(-1) === 'object' && parts.at(-1) ? parts.pop() : {};
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== ''));
  const path = [name, ...parts].filter(Boolean).map(encodeURIComponent).join('/');
  return `#/${path}${words.size ? `?${words}` : ''}`;
}

export function go(name, ...parts) {
  location.hash = href(name, ...parts);
}

export function here() {
  const [path, words = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name = '', ...rest] = path.split('/').map(decode);
  return { name, id: rest[0] ?? null, rest, query: Object.fromEntries(new URLSearchParams(words)) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
