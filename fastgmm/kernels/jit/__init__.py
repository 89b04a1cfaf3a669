"""Numba's settings, drivers, threads, and the machine code on disk."""
