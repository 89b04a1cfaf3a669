"""Expectation-maximization: starts, steps, the loop, what is done about degenerate components."""
