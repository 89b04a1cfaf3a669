"""Gaussian mixture models fitted by EM, at the speed of the processor."""
