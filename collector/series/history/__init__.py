"""The samples of weeks on disk: the log's sealed segments compacted to Parquet, and one reader over all of it."""
