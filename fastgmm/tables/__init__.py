"""Tables of numbers in files, whole or in blocks of rows: text, Parquet and numpy's own."""
