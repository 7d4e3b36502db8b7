"""Agents: the AI engine that messages are handed to.

agent_turns row ──turns.py──► question.py: what it is told ──► caller.py: budget, retries, deadline, log
                                                                 ├─► openai_agent.py
                                                                 └─► http_agent.py
      ▲                                                                   │
      └── ended with its answer in one transaction ◄── speech.py ◄────────┘
"""
