"""Alembic migrations of the control state."""
