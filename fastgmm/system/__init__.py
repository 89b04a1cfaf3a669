"""The machine: threads, memory, files, processors, the terminal."""
