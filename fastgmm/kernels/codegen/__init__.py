"""Innermost loops that are emitted as vector code, each with its twin in plain numpy."""
