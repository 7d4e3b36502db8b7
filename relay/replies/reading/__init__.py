"""From YAML that people write to rule sets that are right: every mistake with its line and a sentence."""
