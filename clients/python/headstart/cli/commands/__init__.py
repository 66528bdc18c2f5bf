"""The sub-commands of `headstart`, in a file for each thing that they are about."""
