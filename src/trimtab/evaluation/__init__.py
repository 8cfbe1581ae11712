"""Evals, wired: releases that are really called, suites that are read from files, runs that are kept."""
