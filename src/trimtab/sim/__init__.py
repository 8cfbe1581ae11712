"""An upstream that costs nothing and speaks as OpenAI and Anthropic do: seeded behaviours, or recorded generations."""
