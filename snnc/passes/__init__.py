"""One file per pass; each states what it requires and what it ensures."""
