"""The mirror: a copy of who the users are and where their mail lives, kept in step with the directory."""
