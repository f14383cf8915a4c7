"""Controllers: one file for each kind, all behind base.Controller."""
