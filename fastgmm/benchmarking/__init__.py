"""Measuring fastgmm here: problems, an iteration's time, what this runs on."""
