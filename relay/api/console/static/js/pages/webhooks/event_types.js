/* The kinds of events that an endpoint can ask for, in groups as people think of them; a test event is sent whatever was asked for.

    names(filter, type)      whether an endpoint's filter names it, by itself or as `message.*`
    filterOf(types)          the filter for these types: a whole group as `message.*`, so that it takes new kinds too
*/

export const GROUPS = {
  message: ['message.received', 'message.status', 'message.media', 'message.edited', 'message.revoked', 'message.reaction'],
  call: ['call.received'],
  session: ['session.status', 'session.qr'],
  automation: ['automation.handoff', 'automation.paused', 'automation.resumed', 'automation.event'],
  contact: ['contact.deleted'],
  endpoint: ['endpoint.disabled'],
};
export const ALL = [...Object.values(GROUPS).flat(), 'webhook.test'];

export function names(filter, type) {
  return filter.includes(type) || filter.includes(`${type.split('.')[0]}.*`);
}

export function filterOf(types) {
  return Object.entries(GROUPS).flatMap(([group, members]) => {
    const taken = members.filter((type) => types.includes(type));
    return members.length > 1 && taken.length === members.length ? [`${group}.*`] : taken;
  });
}
