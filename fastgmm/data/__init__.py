"""Where the points come from, and what is known of them."""
