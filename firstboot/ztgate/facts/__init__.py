"""Read-only probes of the machine. Every parser is a pure function of text."""
