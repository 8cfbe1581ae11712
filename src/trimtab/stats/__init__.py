"""Pure numerics: e-processes and intervals. Imports numpy and nothing of ours but core."""
