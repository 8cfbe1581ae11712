"""An OpenAI-compatible upstream that costs nothing: seeded behaviours, or a replay of recorded generations."""
