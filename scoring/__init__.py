"""Offline scoring: very many images to a Parquet file, by any number of tasks, on the machine where it runs.

The pieces are pure, so that another runner can put them together: `sources` lists and reads images, `decode` makes pixels,
`embed` runs backbones, `classify` asks the tasks, and `write` makes Parquet. `run` is the runner of one machine.
"""
