"""Strategies read and checked, their phases run one after another inside a run folder, and the Python API on top."""
