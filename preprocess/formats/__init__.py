"""Files that datasets come in: containers, pictures and depth, lists, tables, cameras. Nothing here knows of a dataset."""
