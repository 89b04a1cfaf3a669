"""Choosing among many mixtures: `select` is the public part, `cells` fits, `stability` compares."""
