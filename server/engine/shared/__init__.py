"""One process runs the engines, and the others reach it through shared memory."""
