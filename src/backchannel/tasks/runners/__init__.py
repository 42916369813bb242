"""Runners: where the bodies of tasks execute."""
