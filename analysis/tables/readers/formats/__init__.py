"""Files of any program: CSV, Parquet, JSON, workbooks, and archives of one of them."""
