"""What tools/peers is made of: problems → libraries → measurement → report."""
