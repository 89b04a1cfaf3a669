"""What estimators share: the fit in steps, predictions, validation, scikit-learn's conventions."""
