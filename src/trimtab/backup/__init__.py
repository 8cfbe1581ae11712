"""Backups of a data directory that is in use, and their restoration somewhere else."""
