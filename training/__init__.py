"""The offline trainer: images of base classes in, a bundle out. Imports `models`, never `server`."""
