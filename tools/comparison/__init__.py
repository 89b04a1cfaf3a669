"""What tools/compare is made of: sources → worker processes → measurement → decision → report."""
