"""What every benchmark uses: its command line, turns on a busy machine, and the setting."""
