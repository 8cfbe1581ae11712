"""Model migrations: one model replaced by another, as a plan with gates, artefacts and a way back at every step."""
