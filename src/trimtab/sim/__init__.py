"""A seeded OpenAI-compatible upstream for trying and testing."""
