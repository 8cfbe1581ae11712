"""Teams, keys and guard-rails."""
