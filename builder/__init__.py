"""How ztgate's images are made: one noun per file, one file per stage."""
