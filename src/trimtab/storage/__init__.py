"""Adapters for control state: SQLite, in memory."""
