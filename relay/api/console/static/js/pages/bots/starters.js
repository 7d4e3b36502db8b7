/* Texts that a new rule set begins with, in the reader's language: each can be put in force as it is, and brings its own tests. */

export const STARTERS = ['menu', 'booking', 'blank'];

export function starter(kind, language) {
  return TEXTS[language][kind];
}

const EN = {
  menu: `# A menu with the usual questions. Change the words; the tests at the end say what you expect.
version: 1
description: Menu, usual questions, and a person
defaults:
  language: en
  timezone: America/Sao_Paulo

rules:
  - id: menu
    when: {keyword: [menu, help, hi, hello, good morning, good afternoon, good evening]}
    do:
      - reply:
          text: "{{ greeting|capitalize }}, {{ contact.first_name }}! 👋 How can I help?"
          choices: {options: [Opening hours, Delivery, A person], footer: Answer with the number.}

  - id: hours
    when: {any: [{equals: '1'}, {keyword: [hours, open, close]}]}
    do: [{reply: "We are open from 9 am to 6 pm, Monday to Friday. 🕘"}]

  - id: delivery
    when: {any: [{equals: '2'}, {keyword: [delivery, deliver, shipping]}]}
    do: [{reply: We deliver within two working days. 🚚}]

  - id: person
    priority: 10                 # asked before the others
    when: {any: [{equals: '3'}, {keyword: [person, human, attendant]}]}
    do:
      - reply: One moment, please. Somebody from our team will answer you here.
      - handoff: true            # the bot keeps quiet in this chat

tests:
  - name: the number of the menu
    turns:
      - {given: {text: Hello}, expect: {rule: menu}}
      - {given: {text: '1'}, expect: {rule: hours, replies: ["…9 am to 6 pm…"]}}
  - name: a person
    given: {text: Can I talk to a human?}
    expect: {rule: person, handoff: true}
`,
  booking: `# A conversation with questions: a table for tonight. Each answer is checked and kept.
version: 1
description: Books a table
defaults:
  language: en
  timezone: America/Sao_Paulo

rules:
  - id: book
    when: {keyword: [book, table, reservation]}
    do: [{flow: booking}]
  - id: person
    interrupts: true             # also in the middle of a question
    when: {keyword: [person, human]}
    do: [{reply: "One moment, please."}, {handoff: true}]

flows:
  booking:
    cancel: [cancel, stop]
    cancel_text: All right. Maybe another time.
    steps:
      - id: people
        ask: For how many people?
        capture: people
        validate: {type: integer, min: 1, max: 12}
        retry_text: Please write a number from 1 to 12.
      - id: day
        ask: {text: Which day?, choices: {options: [Friday, Saturday]}}
        capture: day
        match: {Friday: confirm, Saturday: confirm}
      - id: confirm
        do:
          - reply: "Booked: {{ day }}, {{ people }} people. See you!"
          - emit: {name: table.booked, data: {day: "{{ day }}", people: "{{ people }}"}}

tests:
  - name: a table
    turns:
      - {given: {text: I would like to book}, expect: {rule: book, flow: booking, step: people}}
      - {given: {text: many}, expect: {step: people}}
      - {given: {text: '4'}, expect: {step: day}}
      - {given: {text: '1'}, expect: {replies: ["Booked: Friday, 4 people…"], events: [table.booked], flow: ''}}
`,
  blank: `version: 1
defaults:
  language: en
  timezone: America/Sao_Paulo

rules:
  - id: hello
    when: {keyword: [hi, hello]}
    do:
      - reply: "{{ greeting|capitalize }}, {{ contact.first_name }}!"
`,
};

const PT = {
  menu: `# Um menu com as perguntas de sempre. Mude os textos; os testes no fim dizem o que você espera.
version: 1
description: Menu, perguntas de sempre e uma pessoa
defaults:
  language: pt-BR
  timezone: America/Sao_Paulo

rules:
  - id: menu
    when: {keyword: [menu, ajuda, oi, olá, bom dia, boa tarde, boa noite]}
    do:
      - reply:
          text: "{{ greeting|capitalize }}, {{ contact.first_name }}! 👋 Como posso ajudar?"
          choices: {options: [Horário, Entrega, Falar com uma pessoa], footer: Responda com o número.}

  - id: horario
    when: {any: [{equals: '1'}, {keyword: [horário, horas, abre, abrem, fecha, fecham]}]}
    do: [{reply: "Abrimos de segunda a sexta, das 9h às 18h. 🕘"}]

  - id: entrega
    when: {any: [{equals: '2'}, {keyword: [entrega, entregam, frete]}]}
    do: [{reply: Entregamos em até dois dias úteis. 🚚}]

  - id: pessoa
    priority: 10                 # é vista antes das outras
    when: {any: [{equals: '3'}, {keyword: [pessoa, humano, atendente]}]}
    do:
      - reply: Um momento, por favor. Alguém da nossa equipe já responde por aqui.
      - handoff: true            # o robô fica quieto nesta conversa

tests:
  - name: o número do menu
    turns:
      - {given: {text: Olá}, expect: {rule: menu}}
      - {given: {text: '1'}, expect: {rule: horario, replies: ["…das 9h às 18h…"]}}
  - name: uma pessoa
    given: {text: Quero falar com um atendente}
    expect: {rule: pessoa, handoff: true}
`,
  booking: `# Uma conversa com perguntas: uma mesa para hoje. Cada resposta é conferida e guardada.
version: 1
description: Reserva uma mesa
defaults:
  language: pt-BR
  timezone: America/Sao_Paulo

rules:
  - id: reservar
    when: {keyword: [reservar, reserva, mesa]}
    do: [{flow: reserva}]
  - id: pessoa
    interrupts: true             # também no meio de uma pergunta
    when: {keyword: [pessoa, humano, atendente]}
    do: [{reply: "Um momento, por favor."}, {handoff: true}]

flows:
  reserva:
    cancel: [cancelar, parar]
    cancel_text: Tudo bem. Fica para outra vez.
    steps:
      - id: pessoas
        ask: Para quantas pessoas?
        capture: pessoas
        validate: {type: integer, min: 1, max: 12}
        retry_text: Por favor, escreva um número de 1 a 12.
      - id: dia
        ask: {text: Em que dia?, choices: {options: [Sexta, Sábado]}}
        capture: dia
        match: {Sexta: confirmar, Sábado: confirmar}
      - id: confirmar
        do:
          - reply: "Reservado: {{ dia }}, {{ pessoas }} pessoas. Até lá!"
          - emit: {name: mesa.reservada, data: {dia: "{{ dia }}", pessoas: "{{ pessoas }}"}}

tests:
  - name: uma mesa
    turns:
      - {given: {text: Queria reservar}, expect: {rule: reservar, flow: reserva, step: pessoas}}
      - {given: {text: muitas}, expect: {step: pessoas}}
      - {given: {text: '4'}, expect: {step: dia}}
      - {given: {text: '1'}, expect: {replies: ["Reservado: Sexta, 4 pessoas…"], events: [mesa.reservada], flow: ''}}
`,
  blank: `version: 1
defaults:
  language: pt-BR
  timezone: America/Sao_Paulo

rules:
  - id: oi
    when: {keyword: [oi, olá]}
    do:
      - reply: "{{ greeting|capitalize }}, {{ contact.first_name }}!"
`,
};

const TEXTS = { en: EN, 'pt-BR': PT };
