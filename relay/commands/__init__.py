"""The operators' commands, one file a group: each adds its own part of the command line.

tenant, key, session, rules, deliveries, listen ──► the HTTP API, from anywhere
migrate, doctor, keys                           ──► the settings, the data folder and the database of this machine
rules check, test, explain, schema              ──► files of this machine
"""
