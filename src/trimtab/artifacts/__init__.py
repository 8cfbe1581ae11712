"""Immutable, content-addressed things that change behaviour: prompts, models, tools, schemas, adapters."""
