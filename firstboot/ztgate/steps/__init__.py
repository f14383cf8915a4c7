"""One file per step: a pure plan, and a run that reads facts, plans and acts. No step imports another."""
