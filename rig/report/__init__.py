"""Figures and tables made from a run file."""
