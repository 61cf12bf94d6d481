"""Vestibule and its peers side by side: each started for real, all in front of the same backends and directory."""
