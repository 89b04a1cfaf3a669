"""Packages that use scikit-learn's GaussianMixture, tested with fastgmm's in its place."""
