/* The rule set that the first steps switch on: small, ready, in the reader's language. */

export const HELLO = {
  en: {
    name: 'hello',
    source: `# A first bot. Change the words, and save: the next message is answered by the new ones.
version: 1
description: Says hello and knows the opening hours
defaults:
  language: en
rules:
  - id: hours
    when: {keyword: [hours, open, close, opening]}
    do:
      - reply: We are open from 9 am to 6 pm, Monday to Friday.
  - id: person
    when: {keyword: [person, human, attendant]}
    do:
      - reply: One moment, please. Somebody from our team will answer you here.
      - handoff: true
  - id: hello
    when: {keyword: [hi, hello, hey, good morning, good afternoon, good evening]}
    do:
      - reply: "{{ greeting|capitalize }}, {{ contact.first_name }}! Ask me when we open, or write “person” to talk to somebody."
`,
  },
  'pt-BR': {
    name: 'oi',
    source: `# Um primeiro robô. Mude as palavras e salve: a próxima mensagem já é respondida com as novas.
version: 1
description: Dá oi e sabe o horário de funcionamento
defaults:
  language: pt-BR
  timezone: America/Sao_Paulo
rules:
  - id: horario
    when: {keyword: [horário, horas, abre, abrem, fecha, fecham, aberto]}
    do:
      - reply: Abrimos de segunda a sexta, das 9h às 18h.
  - id: pessoa
    when: {keyword: [pessoa, humano, atendente]}
    do:
      - reply: Um momento, por favor. Alguém da nossa equipe já responde por aqui.
      - handoff: true
  - id: oi
    when: {keyword: [oi, olá, bom dia, boa tarde, boa noite]}
    do:
      - reply: "{{ greeting|capitalize }}, {{ contact.first_name }}! Pergunte que horas abrimos, ou escreva “atendente” para falar com uma pessoa."
`,
  },
};
